-- Billing kinds that the model does not know, with their dollars.
SELECT COALESCE(kind, '(none)') AS value, SUM(amount_usd) AS amount_usd, MIN(usage_date) AS first_day
FROM ai_usage.stg_cursor_usage_events
WHERE usage_date BETWEEN @start_day AND @end_day AND kind_class = 'unknown'
GROUP BY COALESCE(kind, '(none)') ORDER BY value
