WITH spend AS (
  SELECT person_email, vendor, SUM(spend_usd) AS spend_usd
  FROM ai_usage.kpi_spend_by_person
  WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
    [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
    [[AND person_email IN ({{person}})]]
    AND person_email IS NOT NULL
  GROUP BY person_email, vendor
), top AS (
  SELECT person_email, SUM(spend_usd) AS spend_usd
  FROM spend
  GROUP BY person_email
  ORDER BY spend_usd DESC, person_email
  LIMIT 15
)
SELECT spend.person_email, dim_vendor.label AS vendor, spend.spend_usd
FROM spend
JOIN top ON top.person_email = spend.person_email
JOIN ai_usage.dim_vendor ON dim_vendor.vendor = spend.vendor
ORDER BY top.spend_usd DESC, spend.person_email, dim_vendor.label
