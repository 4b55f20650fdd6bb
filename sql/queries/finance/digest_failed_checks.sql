-- The failed checks of a run.
SELECT asset, check_name, severity, amount_usd
FROM ai_usage.ops_check_results
WHERE NOT passed AND run_id = @run_id
ORDER BY severity, amount_usd DESC, asset, check_name
