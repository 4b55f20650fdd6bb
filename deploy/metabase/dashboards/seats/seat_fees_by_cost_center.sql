SELECT
  COALESCE(cost_center, 'Unallocated') AS cost_center,
  SUM(CASE WHEN status = 'active' THEN seat_usd END) AS active_usd,
  SUM(CASE WHEN status IN ('idle', 'never_used') THEN seat_usd END) AS idle_usd,
  SUM(CASE WHEN status = 'unknown' THEN seat_usd END) AS unknown_usd
FROM ai_usage.kpi_seat_utilization
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]] [[AND person_email IN ({{person}})]]
  AND seat_usd IS NOT NULL
GROUP BY COALESCE(cost_center, 'Unallocated')
ORDER BY SUM(seat_usd) DESC, cost_center
