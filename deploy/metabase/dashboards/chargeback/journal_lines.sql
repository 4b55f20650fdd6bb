SELECT
  COALESCE(cost_center, 'Unallocated') AS cost_center, team, vendor, cost_basis, product, line_type,
  SUBSTR(CAST(usage_month AS STRING), 1, 7) AS usage_month, amount_usd, status AS journal_status, line_id,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_chargeback
WHERE posting_month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
ORDER BY cost_center, team, vendor, cost_basis, product, line_type, usage_month
