CREATE OR REPLACE VIEW ai_usage.int_model_price_daily (
  usage_date OPTIONS (description = "UTC day on which the model was used."),
  vendor OPTIONS (description = "Vendor; only vendors that publish prices."),
  model OPTIONS (description = "Model as the vendor's usage names it."),
  price_status OPTIONS (description = "listed; unknown_model: the model is not in dim_model_price; depends_on_prompt: the price depends on the length of each prompt, which daily counts do not contain."),
  input_usd OPTIONS (description = "List price of the day in US dollars per million uncached input tokens; NULL, as all prices, unless price_status is listed."),
  cache_write_5m_usd OPTIONS (description = "US dollars per million tokens written to the 5-minute cache."),
  cache_write_1h_usd OPTIONS (description = "US dollars per million tokens written to the 1-hour cache."),
  cache_read_usd OPTIONS (description = "US dollars per million tokens read from a cache."),
  output_usd OPTIONS (description = "US dollars per million output tokens.")
)
OPTIONS (description = "List price of each model on each day it was used, from dim_model_price. A model matches with or without the date at the end of its name. A model without one price on the day has NULL prices.")
AS
WITH used AS (
  SELECT DISTINCT usage.usage_date, usage.vendor, usage.model
  FROM ai_usage.int_usage_daily AS usage
  JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = usage.vendor AND vendor.publishes_prices
  WHERE usage.has_tokens AND usage.model IS NOT NULL
), price AS (
  SELECT
    used.usage_date,
    used.vendor,
    used.model,
    COUNT(price.model) AS prices,
    MAX(price.input_usd) AS input_usd,
    MAX(price.cache_write_5m_usd) AS cache_write_5m_usd,
    MAX(price.cache_write_1h_usd) AS cache_write_1h_usd,
    MAX(price.cache_read_usd) AS cache_read_usd,
    MAX(price.output_usd) AS output_usd
  FROM used
  LEFT JOIN ai_usage.dim_model_price AS price
    ON (price.model = used.model OR STARTS_WITH(used.model, CONCAT(price.model, '-20')))
    AND used.usage_date >= price.effective_from
    AND used.usage_date < price.effective_to
  GROUP BY used.usage_date, used.vendor, used.model
)
SELECT
  usage_date,
  vendor,
  model,
  CASE prices WHEN 0 THEN 'unknown_model' WHEN 1 THEN 'listed' ELSE 'depends_on_prompt' END AS price_status,
  CASE WHEN prices = 1 THEN input_usd END AS input_usd,
  CASE WHEN prices = 1 THEN cache_write_5m_usd END AS cache_write_5m_usd,
  CASE WHEN prices = 1 THEN cache_write_1h_usd END AS cache_write_1h_usd,
  CASE WHEN prices = 1 THEN cache_read_usd END AS cache_read_usd,
  CASE WHEN prices = 1 THEN output_usd END AS output_usd
FROM price
