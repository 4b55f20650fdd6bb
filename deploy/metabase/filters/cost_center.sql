SELECT DISTINCT COALESCE(cost_center, 'Unallocated') AS cost_center
FROM ai_usage.kpi_budget_vs_actual
ORDER BY cost_center
