-- Unallocated spend by principal. A workspace is only shown where there is no principal: the advice is the same in all.
SELECT
  vendor,
  principal_type,
  principal_id,
  api_key_id,
  api_key_name,
  MAX(workspace_id) AS workspace_id,
  MAX(workspace_name) AS workspace_name,
  person_email,
  next_step,
  SUM(spend_usd) AS spend_usd,
  SUM(share_of_spend) AS share_of_spend,
  MIN(first_day) AS first_day
FROM ai_usage.kpi_unallocated
WHERE month = @month
GROUP BY vendor, principal_type, principal_id, api_key_id, api_key_name, person_email, next_step
ORDER BY spend_usd DESC, first_day, api_key_id
