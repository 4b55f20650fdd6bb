-- Spend after attribution, by vendor, day and cost basis.
SELECT vendor, usage_date, cost_basis, SUM(amount_usd) AS amount_usd
FROM ai_usage.fct_cost_daily
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY vendor, usage_date, cost_basis
