-- The bill of each day by model, key, workspace and principal.
SELECT usage_date, 'billed' AS cost_basis, model, api_key_id, workspace_id, principal_id, SUM(amount_usd) AS amount_usd
FROM ai_usage.stg_anthropic_cost
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY usage_date, model, api_key_id, workspace_id, principal_id
