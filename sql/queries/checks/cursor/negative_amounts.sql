-- Days with usage events of a negative amount.
SELECT usage_date, COUNT(*) AS events, SUM(amount_usd) AS credit_usd, ABS(SUM(amount_usd)) AS amount_usd
FROM ai_usage.stg_cursor_usage_events
WHERE usage_date BETWEEN @start_day AND @end_day AND amount_usd < 0
GROUP BY usage_date ORDER BY usage_date
