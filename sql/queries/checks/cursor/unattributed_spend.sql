-- Cursor's spend before attribution, by day and cost basis.
SELECT usage_date, cost_basis, SUM(amount_usd) AS amount_usd
FROM ai_usage.int_cursor_usage_daily WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date, cost_basis
UNION ALL
SELECT usage_date, 'seat', SUM(amount_usd)
FROM ai_usage.fct_seat_daily
WHERE usage_date BETWEEN @start_day AND @end_day AND is_paid AND vendor = 'cursor'
GROUP BY usage_date
