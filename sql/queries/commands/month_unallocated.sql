-- Unallocated spend of a month by what it is attributed to, with the next step.
SELECT
  vendor,
  COALESCE(api_key_name, principal_id) AS label,
  person_email,
  next_step,
  SUM(spend_usd) AS spend_usd,
  SUM(share_of_spend) AS share_of_spend,
  MIN(first_day) AS first_day
FROM ai_usage.kpi_unallocated
WHERE month = @month
GROUP BY vendor, principal_type, api_key_name, principal_id, person_email, next_step
ORDER BY spend_usd DESC
