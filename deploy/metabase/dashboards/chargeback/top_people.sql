SELECT
  person_email,
  COALESCE(SUM(CASE WHEN vendor = 'anthropic' THEN spend_usd END), 0) AS anthropic_usd,
  COALESCE(SUM(CASE WHEN vendor = 'cursor' THEN spend_usd END), 0) AS cursor_usd
FROM ai_usage.kpi_spend_by_person
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]] [[AND person_email IN ({{person}})]]
  AND person_email IS NOT NULL
GROUP BY person_email
ORDER BY SUM(spend_usd) DESC, person_email
LIMIT 15
