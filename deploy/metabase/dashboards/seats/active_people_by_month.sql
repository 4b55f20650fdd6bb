WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT spend.month, COUNT(DISTINCT spend.person_email) AS people
FROM ai_usage.kpi_spend_by_person AS spend
JOIN chosen ON spend.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE spend.active_days > 0
  [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]] [[AND person_email IN ({{person}})]]
GROUP BY spend.month
ORDER BY spend.month
