CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_tokens_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  product STRING OPTIONS (description = "Product through which the usage came, as the vendor names it."),
  model STRING OPTIONS (description = "Model; NULL for cost that belongs to no model."),
  principal_type STRING NOT NULL OPTIONS (description = "user, service_account, federated, api_key or none."),
  principal_id STRING OPTIONS (description = "Vendor's id of the principal."),
  user_email STRING OPTIONS (description = "E-mail of the user as the vendor last sent it."),
  api_key_id STRING OPTIONS (description = "API key that authenticated the requests."),
  workspace_id STRING OPTIONS (description = "Workspace."),
  requests INT64 OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  uncached_input_tokens INT64 OPTIONS (description = "Input tokens that were not read from a cache."),
  cache_write_5m_tokens INT64 OPTIONS (description = "Tokens written to the 5-minute cache."),
  cache_write_1h_tokens INT64 OPTIONS (description = "Tokens written to the 1-hour cache."),
  cache_read_tokens INT64 OPTIONS (description = "Input tokens read from a cache."),
  output_tokens INT64 OPTIONS (description = "Output tokens."),
  total_tokens INT64 OPTIONS (description = "All tokens, as the vendor reports them."),
  web_search_requests INT64 OPTIONS (description = "Number of web searches.")
)
PARTITION BY usage_date
CLUSTER BY identity_key
OPTIONS (description = "Anthropic's tokens and requests per day, actor, key, workspace, model and product, before attribution.")
AS
WITH summed AS (
  SELECT
    usage_date,
    CONCAT(
      'anthropic|', principal_type, '|', IFNULL(REPLACE(REPLACE(principal_id, '%', '%25'), '|', '%7C'), ''), '|', IFNULL(REPLACE(REPLACE(user_email, '%', '%25'), '|', '%7C'), ''), '|',
      IFNULL(REPLACE(REPLACE(api_key_id, '%', '%25'), '|', '%7C'), ''), '|', IFNULL(REPLACE(REPLACE(workspace_id, '%', '%25'), '|', '%7C'), '')
    ) AS identity_key,
    product,
    model,
    principal_type,
    principal_id,
    user_email,
    api_key_id,
    workspace_id,
    SUM(requests) AS requests,
    SUM(uncached_input_tokens) AS uncached_input_tokens,
    SUM(cache_write_5m_tokens) AS cache_write_5m_tokens,
    SUM(cache_write_1h_tokens) AS cache_write_1h_tokens,
    SUM(cache_read_tokens) AS cache_read_tokens,
    SUM(output_tokens) AS output_tokens,
    SUM(total_tokens) AS total_tokens,
    SUM(web_search_requests) AS web_search_requests
  FROM ai_usage.stg_anthropic_usage
  WHERE usage_date BETWEEN @start_day AND @end_day
  GROUP BY usage_date, product, model, principal_type, principal_id, user_email, api_key_id, workspace_id
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (
    PARTITION BY usage_date
    ORDER BY identity_key NULLS FIRST, product NULLS FIRST, model NULLS FIRST
  ) AS fact_no,
  identity_key,
  product,
  model,
  principal_type,
  principal_id,
  user_email,
  api_key_id,
  workspace_id,
  requests,
  uncached_input_tokens,
  cache_write_5m_tokens,
  cache_write_1h_tokens,
  cache_read_tokens,
  output_tokens,
  total_tokens,
  web_search_requests
FROM summed
