-- The spend of a month, and the unallocated part of it.
SELECT SUM(spend_usd) AS spend_usd, SUM(CASE WHEN cost_center IS NULL THEN spend_usd END) AS unallocated_usd
FROM ai_usage.kpi_spend_monthly
WHERE month = @month
