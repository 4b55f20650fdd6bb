-- Dollars and tokens of each day as they are published, from @past_day on.
SELECT
  usage_date, SUM(amount_usd) AS amount_usd,
  SUM(uncached_input_tokens + cache_write_tokens + cache_read_tokens + output_tokens) AS tokens
FROM ai_usage.int_cursor_usage_daily
WHERE usage_date BETWEEN @past_day AND @end_day AND uncached_input_tokens IS NOT NULL
GROUP BY usage_date
ORDER BY usage_date
