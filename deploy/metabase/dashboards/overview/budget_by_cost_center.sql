SELECT
  COALESCE(cost_center, 'Unallocated') AS cost_center,
  SUBSTR(CAST(month AS STRING), 1, 7) AS month,
  budget_usd, spend_usd, used_ratio, pace_ratio, projected_usd, projected_variance_usd,
  CASE budget_status
    WHEN 'budgeted' THEN 'budgeted'
    WHEN 'unspent' THEN 'no spend yet'
    WHEN 'missing' THEN 'no budget in the sheet'
    WHEN 'unallocated' THEN 'no cost center'
    ELSE COALESCE(budget_note, budget_status)
  END AS budget_status,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_budget_vs_actual
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
ORDER BY spend_usd IS NULL, spend_usd DESC, cost_center
