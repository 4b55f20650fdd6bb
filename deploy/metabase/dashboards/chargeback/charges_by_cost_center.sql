SELECT
  COALESCE(cost_center, 'Unallocated') AS cost_center,
  SUM(CASE WHEN line_type = 'charge' AND cost_basis = 'billed' THEN amount_usd END) AS billed_usd,
  SUM(CASE WHEN line_type = 'charge' AND cost_basis = 'seat' THEN amount_usd END) AS seat_usd,
  SUM(CASE WHEN line_type = 'correction' THEN amount_usd END) AS correction_usd
FROM ai_usage.kpi_chargeback
WHERE posting_month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
GROUP BY COALESCE(cost_center, 'Unallocated')
ORDER BY SUM(amount_usd) DESC, cost_center
