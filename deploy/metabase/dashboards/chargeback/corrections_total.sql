SELECT SUM(CASE WHEN line_type = 'correction' THEN amount_usd END) AS amount_usd
FROM ai_usage.kpi_chargeback
WHERE posting_month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
