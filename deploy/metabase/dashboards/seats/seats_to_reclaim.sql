SELECT
  COALESCE(person_email, user_id) AS person, name, team, COALESCE(cost_center, 'Unallocated') AS cost_center, plan,
  monthly_price_usd, last_active_date, first_seat_date, REPLACE(status, '_', ' ') AS seat_status
FROM ai_usage.kpi_seat_utilization
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]] [[AND person_email IN ({{person}})]]
  AND is_reclaimable
ORDER BY monthly_price_usd DESC, last_active_date NULLS FIRST, person
