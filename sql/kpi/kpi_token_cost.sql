CREATE OR REPLACE VIEW ai_usage.kpi_token_cost (
  month OPTIONS (description = "First day of the month; the current month is month to date."),
  vendor OPTIONS (description = "Vendor."),
  cost_basis OPTIONS (description = "billed or included, as in fct_cost_daily."),
  model OPTIONS (description = "Model as the vendor names it; `no model` for cost that belongs to no model."),
  token_class OPTIONS (description = "uncached_input, cache_write_5m, cache_write_1h, cache_read or output; cache_write where the vendor does not report the lifetime; the cost type (web_search, code_execution, ...) for cost that is not tokens."),
  tokens OPTIONS (description = "Tokens of the class; NULL for cost that is not tokens."),
  amount_usd OPTIONS (description = "Billed US dollars of the class, after discount; NULL where the vendor does not bill by class."),
  list_amount_usd OPTIONS (description = "US dollars at the vendor's list price, before discount; NULL where the vendor does not bill by class."),
  usd_per_million OPTIONS (description = "Billed US dollars per million tokens of the class."),
  list_usd_per_million OPTIONS (description = "Mean list price per million tokens from dim_model_price, weighted by the tokens of each day; NULL when no price is known."),
  priced_usd OPTIONS (description = "Tokens at the list price of their day, in US dollars for standard service. An estimate, not part of the bill; batch and priority service differ."),
  unpriced_tokens OPTIONS (description = "Tokens without a list price."),
  price_status OPTIONS (description = "listed; unknown_model: the model is not in dim_model_price; depends_on_prompt: the price depends on the length of each prompt; not_published: the vendor publishes no prices; mixed: several in the month; NULL for cost that is not tokens."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the row."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Cost per million tokens by month, model and token class: billed, at the vendor's list price, and at the list price of dim_model_price. For vendors that bill by class, amount_usd adds up to the bill within the vendor's rounding of rows. kpi_unit_cost has all classes together.")
AS
WITH daily AS (
  SELECT
    usage_date,
    vendor,
    cost_basis,
    model,
    SUM(uncached_input_tokens) AS uncached_input_tokens,
    SUM(cache_write_5m_tokens) AS cache_write_5m_tokens,
    SUM(cache_write_1h_tokens) AS cache_write_1h_tokens,
    -- Cache writes whose lifetime the vendor does not report.
    SUM(CASE
      WHEN cache_write_5m_tokens IS NULL AND cache_write_1h_tokens IS NULL THEN cache_write_tokens
    END) AS cache_write_tokens,
    SUM(cache_read_tokens) AS cache_read_tokens,
    SUM(output_tokens) AS output_tokens
  FROM ai_usage.int_usage_daily
  WHERE has_tokens
  GROUP BY usage_date, vendor, cost_basis, model
), token_class AS (
  SELECT 'uncached_input' AS token_class UNION ALL SELECT 'cache_write_5m' UNION ALL SELECT 'cache_write_1h'
  UNION ALL SELECT 'cache_write' UNION ALL SELECT 'cache_read' UNION ALL SELECT 'output'
), classified AS (
  SELECT
    daily.usage_date,
    daily.vendor,
    daily.cost_basis,
    daily.model,
    token_class.token_class,
    CASE token_class.token_class
      WHEN 'uncached_input' THEN daily.uncached_input_tokens
      WHEN 'cache_write_5m' THEN daily.cache_write_5m_tokens
      WHEN 'cache_write_1h' THEN daily.cache_write_1h_tokens
      WHEN 'cache_write' THEN daily.cache_write_tokens
      WHEN 'cache_read' THEN daily.cache_read_tokens
      ELSE daily.output_tokens
    END AS tokens,
    CASE WHEN vendor.publishes_prices THEN COALESCE(price.price_status, 'unknown_model') ELSE 'not_published' END AS price_status,
    CASE token_class.token_class
      WHEN 'uncached_input' THEN price.input_usd
      WHEN 'cache_write_5m' THEN price.cache_write_5m_usd
      WHEN 'cache_write_1h' THEN price.cache_write_1h_usd
      WHEN 'cache_write' THEN CAST(NULL AS NUMERIC)
      WHEN 'cache_read' THEN price.cache_read_usd
      ELSE price.output_usd
    END AS rate_usd
  FROM daily
  CROSS JOIN token_class
  JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = daily.vendor
  LEFT JOIN ai_usage.int_model_price_daily AS price
    ON price.usage_date = daily.usage_date AND price.vendor = daily.vendor AND price.model = daily.model
), line AS (
  SELECT
    usage_date, vendor, cost_basis, model, token_class, tokens, price_status,
    CAST(tokens * rate_usd * NUMERIC '0.000001' AS NUMERIC) AS priced_usd,
    CASE WHEN rate_usd IS NULL THEN tokens END AS unpriced_tokens,
    CAST(NULL AS NUMERIC) AS amount_usd, CAST(NULL AS NUMERIC) AS list_amount_usd
  FROM classified
  WHERE tokens > 0
  UNION ALL
  SELECT
    usage_date, vendor, 'billed', model, token_class, CAST(NULL AS INT64), CAST(NULL AS STRING), CAST(NULL AS NUMERIC),
    CAST(NULL AS INT64), amount_usd, list_amount_usd
  FROM ai_usage.int_control_daily
  WHERE control = 'token_classes'
), monthly AS (
  SELECT
    DATE_TRUNC(line.usage_date, MONTH) AS month,
    line.vendor,
    line.cost_basis,
    COALESCE(line.model, 'no model') AS model,
    line.token_class,
    CAST(SUM(line.tokens) AS INT64) AS tokens,
    SUM(line.amount_usd) AS amount_usd,
    SUM(line.list_amount_usd) AS list_amount_usd,
    SUM(line.priced_usd) AS priced_usd,
    CAST(SUM(line.unpriced_tokens) AS INT64) AS unpriced_tokens,
    CASE WHEN MIN(line.price_status) = MAX(line.price_status) THEN MIN(line.price_status) ELSE 'mixed' END AS price_status,
    LOGICAL_OR(settlement.is_provisional) AS is_provisional,
    MAX(settlement.as_of_date) AS as_of_date
  FROM line
  LEFT JOIN ai_usage.int_settlement_daily AS settlement
    ON settlement.usage_date = line.usage_date AND settlement.vendor = line.vendor
  GROUP BY DATE_TRUNC(line.usage_date, MONTH), line.vendor, line.cost_basis, COALESCE(line.model, 'no model'), line.token_class
)
SELECT
  month,
  vendor,
  cost_basis,
  model,
  token_class,
  tokens,
  amount_usd,
  list_amount_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(amount_usd * 1000000, tokens) AS NUMERIC), 6) AS NUMERIC) AS usd_per_million,
  CAST(ROUND(CAST(SAFE_DIVIDE(priced_usd * 1000000, tokens - COALESCE(unpriced_tokens, 0)) AS NUMERIC), 6) AS NUMERIC) AS list_usd_per_million,
  priced_usd,
  CASE WHEN tokens IS NOT NULL THEN COALESCE(unpriced_tokens, 0) END AS unpriced_tokens,
  CASE WHEN tokens IS NOT NULL THEN price_status END AS price_status,
  COALESCE(is_provisional, TRUE) AS is_provisional,
  as_of_date
FROM monthly
