SELECT
  vendor, COALESCE(api_key_name, workspace_name, principal_id, principal_type) AS principal,
  REPLACE(principal_type, '_', ' ') AS principal_type, person_email,
  spend_usd, share_of_spend, first_day, next_step
FROM ai_usage.kpi_unallocated
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]] [[AND person_email IN ({{person}})]]
ORDER BY spend_usd DESC, vendor, principal, first_day
