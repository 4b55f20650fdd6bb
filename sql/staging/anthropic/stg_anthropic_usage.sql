CREATE OR REPLACE VIEW ai_usage.stg_anthropic_usage (
  usage_date OPTIONS (description = "UTC day."),
  record_no OPTIONS (description = "Number of the raw record within its day."),
  principal_type OPTIONS (description = "Type of principal to which Anthropic attributes the usage: user, service_account, federated, api_key or none."),
  principal_id OPTIONS (description = "Vendor's id of the principal; NULL when there is none."),
  user_email OPTIONS (description = "E-mail of the user, in lower case; taken from an earlier extract when the vendor no longer sends it."),
  api_key_id OPTIONS (description = "API key that authenticated the requests; NULL for the Console, OAuth and seats."),
  workspace_id OPTIONS (description = "Workspace, including the default workspace; NULL for Claude Enterprise."),
  model OPTIONS (description = "Model; NULL for cost that belongs to no model, such as code execution."),
  product OPTIONS (description = "Product through which the usage came, as the vendor names it; NULL when the vendor does not know it."),
  requests OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  uncached_input_tokens OPTIONS (description = "Input tokens that were not read from a cache."),
  cache_write_5m_tokens OPTIONS (description = "Tokens written to the 5-minute cache."),
  cache_write_1h_tokens OPTIONS (description = "Tokens written to the 1-hour cache."),
  cache_read_tokens OPTIONS (description = "Input tokens read from a cache."),
  output_tokens OPTIONS (description = "Output tokens."),
  total_tokens OPTIONS (description = "All tokens, as the vendor reports them."),
  web_search_requests OPTIONS (description = "Number of web searches.")
)
OPTIONS (description = "Anthropic's tokens and requests, typed: one row per record, at the grain of the billed cost.")
AS
SELECT
  usage_date,
  record_no,
  CASE JSON_VALUE(payload, '$.group.actor.type')
    WHEN 'user_actor' THEN 'user'
    WHEN 'service_account_actor' THEN 'service_account'
    WHEN 'federated_actor' THEN 'federated'
    WHEN 'api_actor' THEN 'api_key'
    ELSE 'none'
  END AS principal_type,
  COALESCE(
    JSON_VALUE(payload, '$.group.actor.user_id'),
    JSON_VALUE(payload, '$.group.actor.service_account_id'),
    JSON_VALUE(payload, '$.group.actor.subject'),
    JSON_VALUE(payload, '$.group.actor.api_key_id'),
    JSON_VALUE(payload, '$.group.actor.provider.account_id'),
    JSON_VALUE(payload, '$.group.actor.provider.subscription_id'),
    JSON_VALUE(payload, '$.group.actor.provider.project_number')
  ) AS principal_id,
  LOWER(COALESCE(NULLIF(TRIM(JSON_VALUE(payload, '$.group.actor.email_address')), ''), carried_email)) AS user_email,
  JSON_VALUE(payload, '$.group.api_key_id') AS api_key_id,
  JSON_VALUE(payload, '$.group.workspace_id') AS workspace_id,
  JSON_VALUE(payload, '$.group.model') AS model,
  JSON_VALUE(payload, '$.group.product') AS product,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.usage.requests') AS NUMERIC) AS INT64) AS requests,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.usage.uncached_input_tokens') AS NUMERIC) AS INT64) AS uncached_input_tokens,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.usage.cache_creation.ephemeral_5m_input_tokens') AS NUMERIC) AS INT64) AS cache_write_5m_tokens,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.usage.cache_creation.ephemeral_1h_input_tokens') AS NUMERIC) AS INT64) AS cache_write_1h_tokens,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.usage.cache_read_input_tokens') AS NUMERIC) AS INT64) AS cache_read_tokens,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.usage.output_tokens') AS NUMERIC) AS INT64) AS output_tokens,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.usage.total_tokens') AS NUMERIC) AS INT64) AS total_tokens,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.usage.server_tool_use.web_search_requests') AS NUMERIC) AS INT64) AS web_search_requests
FROM ai_usage.raw_anthropic_usage
