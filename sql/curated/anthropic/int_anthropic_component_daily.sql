CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_component_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  workspace_id STRING OPTIONS (description = "Workspace."),
  model STRING OPTIONS (description = "Model; NULL for cost that belongs to none."),
  token_class STRING NOT NULL OPTIONS (description = "uncached_input, cache_write_5m, cache_write_1h, cache_read, output; for cost that is not tokens its cost type (web_search, code_execution, ..); a kind nobody knows yet keeps the vendor's word."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "Billed dollars."),
  list_amount_usd NUMERIC NOT NULL OPTIONS (description = "The vendor's list price in dollars, before discount.")
)
PARTITION BY usage_date
OPTIONS (description = "What Anthropic's bill was for, per day, workspace, model and class of token. The vendor adds up this bill by itself: it equals int_anthropic_cost_daily within the vendor's rounding of rows, and names no person.")
AS
WITH component AS (
  SELECT
    usage_date,
    workspace_id,
    model,
    CASE token_type
      WHEN 'uncached_input_tokens' THEN 'uncached_input'
      WHEN 'cache_creation.ephemeral_5m_input_tokens' THEN 'cache_write_5m'
      WHEN 'cache_creation.ephemeral_1h_input_tokens' THEN 'cache_write_1h'
      WHEN 'cache_read_input_tokens' THEN 'cache_read'
      WHEN 'output_tokens' THEN 'output'
      ELSE COALESCE(token_type, cost_type, 'unknown')
    END AS token_class,
    amount_usd,
    list_amount_usd
  FROM ai_usage.stg_anthropic_cost_components
  WHERE usage_date BETWEEN @start_day AND @end_day
), summed AS (
  SELECT
    usage_date, workspace_id, model, token_class, SUM(amount_usd) AS amount_usd, SUM(list_amount_usd) AS list_amount_usd
  FROM component
  GROUP BY usage_date, workspace_id, model, token_class
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (
    PARTITION BY usage_date ORDER BY workspace_id NULLS FIRST, model NULLS FIRST, token_class
  ) AS fact_no,
  workspace_id,
  model,
  token_class,
  amount_usd,
  list_amount_usd
FROM summed
