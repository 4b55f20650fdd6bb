SELECT
  CASE WHEN passed THEN 'holds' WHEN blocking THEN 'failed' ELSE 'worth a look' END AS outcome,
  asset, check_name, amount_usd, message, checked_at
FROM ai_usage.ops_check_results
WHERE run_id IN (
  SELECT run_id FROM ai_usage.ops_check_results
  QUALIFY ROW_NUMBER() OVER (ORDER BY checked_at DESC, run_id) = 1
)
ORDER BY passed, blocking DESC, asset, check_name
