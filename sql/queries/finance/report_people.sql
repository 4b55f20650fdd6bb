-- The spend of each person and vendor in the month.
SELECT
  person_email,
  vendor,
  MAX(name) AS name,
  SUM(spend_usd) AS spend_usd,
  CAST(MAX(active_days_all_vendors) AS INT64) AS active_days
FROM ai_usage.kpi_spend_by_person
WHERE month = @month AND person_email IS NOT NULL
GROUP BY person_email, vendor
ORDER BY person_email, vendor
