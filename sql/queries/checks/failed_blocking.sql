SELECT asset, check_name, message
FROM ai_usage.ops_check_results
WHERE run_id = @run_id AND blocking AND NOT passed
ORDER BY asset, check_name
