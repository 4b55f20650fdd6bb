-- The spend of a month without a cost center.
SELECT SUM(amount_usd) AS amount_usd
FROM ai_usage.fct_cost_daily
WHERE cost_basis <> 'included' AND cost_center IS NULL AND usage_date BETWEEN @first_day AND @last_day
