-- Rows of daily usage whose own day differs from the requested one.
SELECT usage_date, COUNT(*) AS records
FROM ai_usage.raw_cursor_daily_usage
WHERE usage_date BETWEEN @start_day AND @end_day
  AND COALESCE(JSON_VALUE(payload, '$.day'), '') <> CAST(usage_date AS STRING)
GROUP BY usage_date
ORDER BY usage_date
