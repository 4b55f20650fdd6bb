SELECT
  COALESCE(person_email, 'No person') AS person, name, team, COALESCE(cost_center, 'Unallocated') AS cost_center,
  vendor, spend_usd, share_of_spend, included_usd, active_days
FROM ai_usage.kpi_spend_by_person
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
  [[AND person_email IN ({{person}})]]
ORDER BY spend_usd DESC, person, team, cost_center, vendor
