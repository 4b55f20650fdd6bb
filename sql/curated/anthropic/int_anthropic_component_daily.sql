CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_component_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  workspace_id STRING OPTIONS (description = "Workspace."),
  model STRING OPTIONS (description = "Model; NULL for cost that belongs to no model."),
  token_class STRING NOT NULL OPTIONS (description = "uncached_input, cache_write_5m, cache_write_1h, cache_read or output; the cost type (web_search, code_execution, ...) for cost that is not tokens. An unknown class keeps the vendor's name."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "Billed US dollars."),
  list_amount_usd NUMERIC NOT NULL OPTIONS (description = "US dollars at the vendor's list price, before discount.")
)
PARTITION BY usage_date
OPTIONS (description = "Anthropic's bill per day, workspace, model and token class. It equals int_anthropic_cost_daily within the vendor's rounding of rows, and has no person.")
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
