CREATE TABLE IF NOT EXISTS ai_usage.fct_tokens_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or included, as in fct_cost_daily."),
  product STRING OPTIONS (description = "Product through which the usage came."),
  model STRING OPTIONS (description = "Model."),
  principal_type STRING NOT NULL OPTIONS (description = "Type of principal to which the vendor attributes the usage: user, service_account, federated, api_key, automation, cloud_agent or none."),
  principal_id STRING OPTIONS (description = "Vendor's id of the principal; the e-mail where the vendor has no id for users."),
  api_key_id STRING OPTIONS (description = "API key; NULL where the vendor has none."),
  workspace_id STRING OPTIONS (description = "Workspace; NULL where the vendor has none."),
  person_email STRING OPTIONS (description = "Person to whom the amount is attributed; NULL when there is none."),
  team STRING OPTIONS (description = "Team on that day."),
  cost_center STRING OPTIONS (description = "Cost center on that day; NULL = unallocated."),
  attribution_method STRING NOT NULL OPTIONS (description = "Name of the attribution rule that matched."),
  requests INT64 OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  uncached_input_tokens INT64 OPTIONS (description = "Input tokens that were not read from a cache."),
  cache_write_5m_tokens INT64 OPTIONS (description = "Tokens written to the 5-minute cache; NULL where the vendor does not report the lifetime."),
  cache_write_1h_tokens INT64 OPTIONS (description = "Tokens written to the 1-hour cache; NULL where the vendor does not report the lifetime."),
  cache_write_tokens INT64 OPTIONS (description = "Tokens written to any cache."),
  cache_read_tokens INT64 OPTIONS (description = "Input tokens read from a cache."),
  output_tokens INT64 OPTIONS (description = "Output tokens."),
  total_tokens INT64 OPTIONS (description = "All tokens."),
  web_search_requests INT64 OPTIONS (description = "Number of web searches; NULL where the vendor does not count them.")
)
PARTITION BY usage_date
CLUSTER BY vendor, cost_center, team, model
OPTIONS (description = "Tokens of all vendors per day, attributed like the cost.")
AS
WITH token AS (
  SELECT
    usage_date, vendor, fact_no, identity_key, cost_basis, product, model, principal_type, principal_id, api_key_id,
    workspace_id, requests, uncached_input_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cache_write_tokens,
    cache_read_tokens, output_tokens, total_tokens, web_search_requests
  FROM ai_usage.int_usage_daily
  WHERE has_tokens
), allocated AS (
  SELECT
    token.*,
    COALESCE(attribution.part_no, 1) AS part_no,
    COALESCE(attribution.attribution_method, 'unallocated') AS attribution_method,
    attribution.person_email,
    attribution.team,
    attribution.cost_center,
    CAST(FLOOR(CAST(token.requests AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS requests_part,
    CAST(FLOOR(CAST(token.uncached_input_tokens AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS uncached_input_tokens_part,
    CAST(FLOOR(CAST(token.cache_write_5m_tokens AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS cache_write_5m_tokens_part,
    CAST(FLOOR(CAST(token.cache_write_1h_tokens AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS cache_write_1h_tokens_part,
    CAST(FLOOR(CAST(token.cache_write_tokens AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS cache_write_tokens_part,
    CAST(FLOOR(CAST(token.cache_read_tokens AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS cache_read_tokens_part,
    CAST(FLOOR(CAST(token.output_tokens AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS output_tokens_part,
    CAST(FLOOR(CAST(token.total_tokens AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS total_tokens_part,
    CAST(FLOOR(CAST(token.web_search_requests AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS web_search_requests_part
  FROM token
  LEFT JOIN ai_usage.bridge_attribution_daily AS attribution
    ON attribution.usage_date = token.usage_date
    AND attribution.vendor = token.vendor
    AND attribution.identity_key = token.identity_key
)
SELECT
  usage_date,
  vendor,
  cost_basis,
  product,
  model,
  principal_type,
  principal_id,
  api_key_id,
  workspace_id,
  person_email,
  team,
  cost_center,
  attribution_method,
  CAST(CASE
    WHEN part_no = 1
      THEN requests - (SUM(requests_part) OVER (PARTITION BY vendor, usage_date, fact_no) - requests_part)
    ELSE requests_part
  END AS INT64) AS requests,
  CAST(CASE
    WHEN part_no = 1
      THEN uncached_input_tokens - (SUM(uncached_input_tokens_part) OVER (PARTITION BY vendor, usage_date, fact_no) - uncached_input_tokens_part)
    ELSE uncached_input_tokens_part
  END AS INT64) AS uncached_input_tokens,
  CAST(CASE
    WHEN part_no = 1
      THEN cache_write_5m_tokens - (SUM(cache_write_5m_tokens_part) OVER (PARTITION BY vendor, usage_date, fact_no) - cache_write_5m_tokens_part)
    ELSE cache_write_5m_tokens_part
  END AS INT64) AS cache_write_5m_tokens,
  CAST(CASE
    WHEN part_no = 1
      THEN cache_write_1h_tokens - (SUM(cache_write_1h_tokens_part) OVER (PARTITION BY vendor, usage_date, fact_no) - cache_write_1h_tokens_part)
    ELSE cache_write_1h_tokens_part
  END AS INT64) AS cache_write_1h_tokens,
  CAST(CASE
    WHEN part_no = 1
      THEN cache_write_tokens - (SUM(cache_write_tokens_part) OVER (PARTITION BY vendor, usage_date, fact_no) - cache_write_tokens_part)
    ELSE cache_write_tokens_part
  END AS INT64) AS cache_write_tokens,
  CAST(CASE
    WHEN part_no = 1
      THEN cache_read_tokens - (SUM(cache_read_tokens_part) OVER (PARTITION BY vendor, usage_date, fact_no) - cache_read_tokens_part)
    ELSE cache_read_tokens_part
  END AS INT64) AS cache_read_tokens,
  CAST(CASE
    WHEN part_no = 1
      THEN output_tokens - (SUM(output_tokens_part) OVER (PARTITION BY vendor, usage_date, fact_no) - output_tokens_part)
    ELSE output_tokens_part
  END AS INT64) AS output_tokens,
  CAST(CASE
    WHEN part_no = 1
      THEN total_tokens - (SUM(total_tokens_part) OVER (PARTITION BY vendor, usage_date, fact_no) - total_tokens_part)
    ELSE total_tokens_part
  END AS INT64) AS total_tokens,
  CAST(CASE
    WHEN part_no = 1
      THEN web_search_requests - (SUM(web_search_requests_part) OVER (PARTITION BY vendor, usage_date, fact_no) - web_search_requests_part)
    ELSE web_search_requests_part
  END AS INT64) AS web_search_requests
FROM allocated
