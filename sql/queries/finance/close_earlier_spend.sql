-- The first month with spend before a given month.
SELECT usage_month AS month, SUM(amount_usd) AS amount_usd
FROM ai_usage.kpi_chargeback
WHERE usage_month < @month
GROUP BY usage_month ORDER BY usage_month LIMIT 1
