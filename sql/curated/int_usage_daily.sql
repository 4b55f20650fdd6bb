CREATE OR REPLACE VIEW ai_usage.int_usage_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "Vendor."),
  has_cost OPTIONS (description = "Whether the row has cost."),
  has_tokens OPTIONS (description = "Whether the row has tokens. Rows of vendors that report both together have both."),
  fact_no OPTIONS (description = "Number of the row within its vendor and day, from 1; rows with cost and rows with tokens are numbered separately."),
  identity_key OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  cost_basis OPTIONS (description = "billed or included."),
  product OPTIONS (description = "Product through which the usage came."),
  model OPTIONS (description = "Model; NULL for cost that belongs to no model."),
  principal_type OPTIONS (description = "user, service_account, federated, api_key, automation, cloud_agent or none."),
  principal_id OPTIONS (description = "Vendor's id of the principal; the e-mail where the vendor has no id for users."),
  user_email OPTIONS (description = "E-mail that the vendor reports for the usage."),
  api_key_id OPTIONS (description = "API key."),
  workspace_id OPTIONS (description = "Workspace."),
  service_account_id OPTIONS (description = "Service account."),
  automation_id OPTIONS (description = "Automation."),
  cloud_agent_id OPTIONS (description = "Cloud agent."),
  requests OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  amount_usd OPTIONS (description = "Cost in US dollars."),
  list_amount_usd OPTIONS (description = "Cost in US dollars before discount; equal to amount_usd when the vendor publishes no prices."),
  uncached_input_tokens OPTIONS (description = "Input tokens that were not read from a cache."),
  cache_write_5m_tokens OPTIONS (description = "Tokens written to the 5-minute cache; NULL where the vendor does not report the lifetime."),
  cache_write_1h_tokens OPTIONS (description = "Tokens written to the 1-hour cache; NULL where the vendor does not report the lifetime."),
  cache_write_tokens OPTIONS (description = "Tokens written to any cache."),
  cache_read_tokens OPTIONS (description = "Input tokens read from a cache."),
  output_tokens OPTIONS (description = "Output tokens."),
  total_tokens OPTIONS (description = "All tokens."),
  web_search_requests OPTIONS (description = "Number of web searches.")
)
OPTIONS (description = "Cost and tokens of all vendors in one common schema, before attribution.")
AS
SELECT
  usage_date, 'anthropic' AS vendor, TRUE AS has_cost, FALSE AS has_tokens, fact_no, identity_key,
  'billed' AS cost_basis, product, model, principal_type, principal_id, user_email, api_key_id, workspace_id,
  CASE WHEN principal_type = 'service_account' THEN principal_id END AS service_account_id,
  CAST(NULL AS STRING) AS automation_id, CAST(NULL AS STRING) AS cloud_agent_id, requests, amount_usd,
  list_amount_usd, CAST(NULL AS INT64) AS uncached_input_tokens, CAST(NULL AS INT64) AS cache_write_5m_tokens,
  CAST(NULL AS INT64) AS cache_write_1h_tokens, CAST(NULL AS INT64) AS cache_write_tokens,
  CAST(NULL AS INT64) AS cache_read_tokens, CAST(NULL AS INT64) AS output_tokens,
  CAST(NULL AS INT64) AS total_tokens, CAST(NULL AS INT64) AS web_search_requests
FROM ai_usage.int_anthropic_cost_daily
-- FULL fills the columns that a source does not have with NULL.
FULL UNION ALL BY NAME
SELECT
  *, 'anthropic' AS vendor, FALSE AS has_cost, TRUE AS has_tokens, 'billed' AS cost_basis,
  CASE WHEN principal_type = 'service_account' THEN principal_id END AS service_account_id,
  COALESCE(cache_write_5m_tokens + cache_write_1h_tokens, cache_write_5m_tokens, cache_write_1h_tokens)
    AS cache_write_tokens
FROM ai_usage.int_anthropic_tokens_daily
FULL UNION ALL BY NAME
SELECT
  *, 'cursor' AS vendor, TRUE AS has_cost, TRUE AS has_tokens, 'cursor' AS product, amount_usd AS list_amount_usd,
  CASE
    WHEN COALESCE(uncached_input_tokens, cache_write_tokens, cache_read_tokens, output_tokens) IS NOT NULL
      THEN COALESCE(uncached_input_tokens, 0) + COALESCE(cache_write_tokens, 0) + COALESCE(cache_read_tokens, 0)
        + COALESCE(output_tokens, 0)
  END AS total_tokens
FROM ai_usage.int_cursor_usage_daily
