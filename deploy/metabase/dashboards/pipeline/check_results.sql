SELECT
  CASE WHEN passed THEN 'passed' WHEN blocking THEN 'failed' ELSE 'warning' END AS outcome,
  asset, check_name, amount_usd, message,
  COALESCE(CONCAT(CAST(first_day AS STRING), ' to ', CAST(last_day AS STRING)), 'all') AS days, checked_at
FROM ai_usage.ops_check_status
ORDER BY passed, blocking DESC, asset, check_name, checked_at DESC
