-- Dollars and tokens of each day, with the model price inside the events and the list price of the same tokens.
WITH price AS (
  -- The lower price of models with two prices; the factor of 20 is far larger than the difference.
  SELECT model, effective_from, effective_to, input_usd, cache_write_5m_usd, cache_read_usd, output_usd
  FROM ai_usage.dim_model_price
  WHERE prompt_tier IN ('any', 'up to 100000')
), event AS (
  SELECT
    event.usage_date, event.amount_usd, event.model_usd,
    event.uncached_input_tokens + event.cache_write_tokens + event.cache_read_tokens + event.output_tokens AS tokens,
    CASE WHEN price.model IS NOT NULL THEN event.amount_usd END AS priced_usd,
    CAST((event.uncached_input_tokens * price.input_usd + event.cache_write_tokens * price.cache_write_5m_usd
      + event.cache_read_tokens * price.cache_read_usd + event.output_tokens * price.output_usd)
      * NUMERIC '0.000001' AS NUMERIC) AS list_usd
  FROM ai_usage.stg_cursor_usage_events AS event
  LEFT JOIN price
    ON price.model = event.model
    AND event.usage_date >= price.effective_from
    AND event.usage_date < price.effective_to
  WHERE event.usage_date BETWEEN @start_day AND @end_day AND event.uncached_input_tokens IS NOT NULL
)
SELECT
  usage_date, SUM(amount_usd) AS amount_usd, SUM(tokens) AS tokens, SUM(model_usd) AS other_usd,
  SUM(priced_usd) AS priced_usd, SUM(list_usd) AS list_usd
FROM event
GROUP BY usage_date
ORDER BY usage_date
