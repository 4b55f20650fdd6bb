-- Spend after attribution, by day and cost basis.
SELECT usage_date, cost_basis, SUM(amount_usd) AS amount_usd
FROM ai_usage.fct_cost_daily
WHERE usage_date BETWEEN @start_day AND @end_day AND vendor = @vendor
GROUP BY usage_date, cost_basis
