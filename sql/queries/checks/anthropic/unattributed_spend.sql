-- Anthropic's spend before attribution, by day and cost basis.
SELECT usage_date, 'billed' AS cost_basis, SUM(amount_usd) AS amount_usd
FROM ai_usage.int_anthropic_cost_daily WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date
UNION ALL
SELECT usage_date, 'seat', SUM(amount_usd)
FROM ai_usage.fct_seat_daily
WHERE usage_date BETWEEN @start_day AND @end_day AND is_paid AND vendor = 'anthropic'
GROUP BY usage_date
