-- Days whose last load attempt is dated after today.
SELECT COUNT(DISTINCT usage_date) AS days, MAX(DATE(attempted_at)) AS attempted_on, @today AS today
FROM ai_usage.ops_asset_days
WHERE DATE(attempted_at) > @today
HAVING COUNT(DISTINCT usage_date) > 0
