SELECT
  SUM(CASE WHEN budget_usd IS NOT NULL THEN spend_usd END) AS spend_usd,
  SUM(budget_usd) AS budget_usd
FROM ai_usage.kpi_budget_vs_actual
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
