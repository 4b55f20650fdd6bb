SELECT
  usage_date,
  SUM(CASE WHEN vendor = 'anthropic' THEN spend_usd END) AS anthropic_usd,
  SUM(CASE WHEN vendor = 'cursor' THEN spend_usd END) AS cursor_usd
FROM ai_usage.kpi_spend_daily
WHERE DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
GROUP BY usage_date
ORDER BY usage_date
