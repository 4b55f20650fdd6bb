-- The bill of each day by cost basis, model and principal.
SELECT
  usage_date, cost_basis, model,
  COALESCE(automation_id, service_account_id, cloud_agent_id, user_email) AS principal_id,
  SUM(amount_usd) AS amount_usd
FROM ai_usage.stg_cursor_usage_events
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY usage_date, cost_basis, model, COALESCE(automation_id, service_account_id, cloud_agent_id, user_email)
