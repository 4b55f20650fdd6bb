-- The current result of every check, failed ones first.
SELECT asset, check_name, passed, blocking, message, amount_usd, first_day, last_day, checked_at
FROM ai_usage.ops_check_status
ORDER BY passed, blocking DESC, asset, check_name, checked_at DESC
