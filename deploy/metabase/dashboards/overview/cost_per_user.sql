SELECT
  CAST(SAFE_DIVIDE(
    SUM(spend_usd), COUNT(DISTINCT CASE WHEN active_days > 0 THEN person_email END)
  ) AS NUMERIC) AS usd_per_user
FROM ai_usage.kpi_spend_by_person
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
