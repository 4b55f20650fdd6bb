SELECT
  COALESCE(person_email, user_id) AS person, name, team, COALESCE(cost_center, 'Unallocated') AS cost_center,
  limit_spent_usd, limit_usd, limit_used_ratio, limit_as_of_date
FROM ai_usage.kpi_seat_utilization
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]] [[AND person_email IN ({{person}})]]
  AND limit_usd IS NOT NULL
ORDER BY limit_used_ratio DESC, person
LIMIT 10
