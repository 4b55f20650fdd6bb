SELECT
  COALESCE(person_email, user_id) AS person, name, team, COALESCE(cost_center, 'Unallocated') AS cost_center,
  REPLACE(status, '_', ' ') AS seat_status, active_days, last_active_date, seat_usd, overage_usd, included_usage_usd,
  leverage_ratio,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_seat_utilization
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]] [[AND person_email IN ({{person}})]]
ORDER BY seat_status = 'active', idle_usd DESC, last_active_date NULLS FIRST, person
