-- Days on which the token types do not add up to the total.
WITH day AS (
  SELECT usage_date, SUM(total_tokens) AS total_tokens, SUM(COALESCE(uncached_input_tokens, 0)
    + COALESCE(cache_write_5m_tokens, 0) + COALESCE(cache_write_1h_tokens, 0) + COALESCE(cache_read_tokens, 0)
    + COALESCE(output_tokens, 0)) AS typed_tokens
  FROM ai_usage.stg_anthropic_usage
  WHERE usage_date BETWEEN @start_day AND @end_day
  GROUP BY usage_date
)
SELECT usage_date, total_tokens, typed_tokens
FROM day
WHERE total_tokens <> typed_tokens
ORDER BY usage_date
