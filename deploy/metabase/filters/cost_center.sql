SELECT COALESCE(cost_center, 'Unallocated') AS cost_center
FROM ai_usage.kpi_budget_vs_actual
UNION DISTINCT
SELECT COALESCE(cost_center, 'Unallocated')
FROM ai_usage.kpi_chargeback
ORDER BY cost_center
