-- Budget of each cost center.
SELECT cost_center, COUNT(*) AS months, MIN(month) AS first_month, SUM(budget_usd) AS amount_usd
FROM ai_usage.stg_budgets
GROUP BY cost_center
ORDER BY cost_center
