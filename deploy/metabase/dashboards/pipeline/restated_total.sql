SELECT SUM(delta_usd) AS delta_usd
FROM ai_usage.kpi_restatements
WHERE dimension = 'total' AND cost_basis = 'billed'
  AND DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
