SELECT
  COALESCE(person_email, 'No person named') AS person, name, team, COALESCE(cost_center, 'Unallocated') AS cost_center,
  COALESCE(SUM(CASE WHEN vendor = 'anthropic' THEN spend_usd END), 0) AS anthropic_usd,
  COALESCE(SUM(CASE WHEN vendor = 'cursor' THEN spend_usd END), 0) AS cursor_usd,
  SUM(spend_usd) AS spend_usd, SUM(share_of_spend) AS share_of_spend, SUM(included_usd) AS included_usd,
  MAX(active_days_all_vendors) AS active_days
FROM ai_usage.kpi_spend_by_person
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]] [[AND person_email IN ({{person}})]]
GROUP BY person_email, name, team, cost_center
ORDER BY spend_usd DESC, person, team, cost_center
