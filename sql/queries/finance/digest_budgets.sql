-- Budget and spend of each cost center in a month.
SELECT cost_center, budget_usd, spend_usd, variance_usd, projected_usd, through_date
FROM ai_usage.kpi_budget_vs_actual
WHERE month = @month
ORDER BY variance_usd DESC, cost_center
