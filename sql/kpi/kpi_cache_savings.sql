CREATE OR REPLACE VIEW ai_usage.kpi_cache_savings (
  month OPTIONS (description = "First day of the month; the current month is month to date."),
  vendor OPTIONS (description = "Vendor."),
  team OPTIONS (description = "Team on the day; NULL when it is not known."),
  model OPTIONS (description = "Model as the vendor names it; `no model` when there is none."),
  uncached_input_tokens OPTIONS (description = "Input tokens that were not read from a cache."),
  cache_write_tokens OPTIONS (description = "Input tokens written to caches."),
  cache_read_tokens OPTIONS (description = "Input tokens read from caches."),
  cache_hit_ratio OPTIONS (description = "Tokens read from caches divided by all input tokens (read, written and uncached): 0.80 = 80%."),
  uncached_usd OPTIONS (description = "Cost of the cached tokens (read and written) as plain input, in US dollars at list price; NULL when none has a list price."),
  cached_usd OPTIONS (description = "Cost of the same tokens as cache reads and writes, in US dollars at list price."),
  saved_usd OPTIONS (description = "uncached_usd minus cached_usd: read tokens x (input price - read price) - written tokens x (write price - input price), at the list price of each day. Negative when writes cost more than reads saved. An estimate before discount; not a line of the bill."),
  saved_ratio OPTIONS (description = "saved_usd divided by uncached_usd."),
  unpriced_tokens OPTIONS (description = "Cached tokens without a list price; saved_usd does not include them."),
  price_status OPTIONS (description = "listed; unknown_model: the model is not in dim_model_price; depends_on_prompt: the price depends on the length of each prompt; not_published: the vendor publishes no prices; mixed: several in the month."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the row."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Savings of prompt caching per month, vendor, team and model, from tokens and the dated list prices of dim_model_price. Tokens without a list price are counted in unpriced_tokens; saved_usd is NULL when no token has a price.")
AS
WITH daily AS (
  SELECT
    usage_date,
    vendor,
    team,
    model,
    SUM(uncached_input_tokens) AS uncached_input_tokens,
    SUM(cache_write_5m_tokens) AS cache_write_5m_tokens,
    SUM(cache_write_1h_tokens) AS cache_write_1h_tokens,
    SUM(cache_write_tokens) AS cache_write_tokens,
    SUM(cache_read_tokens) AS cache_read_tokens
  FROM ai_usage.fct_tokens_daily
  GROUP BY usage_date, vendor, team, model
), priced AS (
  SELECT
    daily.*,
    -- Sum the writes by lifetime: prices depend on it, and shares of a split row can round by a token.
    COALESCE(daily.cache_write_5m_tokens + daily.cache_write_1h_tokens, daily.cache_write_tokens, 0)
    + COALESCE(daily.cache_read_tokens, 0) AS cached_tokens,
    CASE WHEN vendor.publishes_prices THEN COALESCE(price.price_status, 'unknown_model') ELSE 'not_published' END AS price_status,
    price.input_usd,
    CAST((
      COALESCE(daily.cache_write_5m_tokens, 0) * price.cache_write_5m_usd
      + COALESCE(daily.cache_write_1h_tokens, 0) * price.cache_write_1h_usd
      + COALESCE(daily.cache_read_tokens, 0) * price.cache_read_usd
    ) * NUMERIC '0.000001' AS NUMERIC) AS cached_usd
  FROM daily
  JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = daily.vendor
  LEFT JOIN ai_usage.int_model_price_daily AS price
    ON price.usage_date = daily.usage_date AND price.vendor = daily.vendor AND price.model = daily.model
), monthly AS (
  SELECT
    DATE_TRUNC(priced.usage_date, MONTH) AS month,
    priced.vendor,
    priced.team,
    COALESCE(priced.model, 'no model') AS model,
    CAST(SUM(priced.uncached_input_tokens) AS INT64) AS uncached_input_tokens,
    CAST(SUM(priced.cache_write_tokens) AS INT64) AS cache_write_tokens,
    CAST(SUM(priced.cache_read_tokens) AS INT64) AS cache_read_tokens,
    SUM(CAST(priced.cached_tokens * priced.input_usd * NUMERIC '0.000001' AS NUMERIC)) AS uncached_usd,
    SUM(priced.cached_usd) AS cached_usd,
    CAST(SUM(CASE WHEN priced.price_status = 'listed' THEN 0 ELSE priced.cached_tokens END) AS INT64) AS unpriced_tokens,
    CASE WHEN MIN(priced.price_status) = MAX(priced.price_status) THEN MIN(priced.price_status) ELSE 'mixed' END AS price_status,
    LOGICAL_OR(settlement.is_provisional) AS is_provisional,
    MAX(settlement.as_of_date) AS as_of_date
  FROM priced
  LEFT JOIN ai_usage.int_settlement_daily AS settlement
    ON settlement.usage_date = priced.usage_date AND settlement.vendor = priced.vendor
  GROUP BY DATE_TRUNC(priced.usage_date, MONTH), priced.vendor, priced.team, COALESCE(priced.model, 'no model')
)
SELECT
  month,
  vendor,
  team,
  model,
  uncached_input_tokens,
  cache_write_tokens,
  cache_read_tokens,
  CAST(ROUND(CAST(SAFE_DIVIDE(
    cache_read_tokens,
    COALESCE(cache_read_tokens, 0) + COALESCE(cache_write_tokens, 0) + COALESCE(uncached_input_tokens, 0)
  ) AS NUMERIC), 6) AS NUMERIC) AS cache_hit_ratio,
  uncached_usd,
  cached_usd,
  uncached_usd - cached_usd AS saved_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(uncached_usd - cached_usd, uncached_usd) AS NUMERIC), 6) AS NUMERIC) AS saved_ratio,
  unpriced_tokens,
  price_status,
  COALESCE(is_provisional, TRUE) AS is_provisional,
  as_of_date
FROM monthly
-- Rows without input tokens (code execution, errors) cannot use a cache.
WHERE uncached_input_tokens > 0 OR cache_write_tokens > 0 OR cache_read_tokens > 0
