SELECT COALESCE(team, 'No team') AS team, COUNT(DISTINCT person_email) AS people
FROM ai_usage.kpi_spend_by_person
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  AND active_days > 0 AND person_email IS NOT NULL
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]] [[AND person_email IN ({{person}})]]
GROUP BY COALESCE(team, 'No team')
ORDER BY people DESC, team
