-- The newest load attempt, if it is dated after today.
SELECT MAX(DATE(attempted_at)) AS attempted_on, @today AS today
FROM ai_usage.ops_asset_days
HAVING MAX(DATE(attempted_at)) > @today
