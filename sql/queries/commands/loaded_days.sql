-- How many days of each vendor are loaded, and which.
SELECT
  vendor,
  COUNT(DISTINCT usage_date) AS days,
  MIN(usage_date) AS first_day,
  MAX(usage_date) AS last_day
FROM ai_usage.ops_asset_days
WHERE is_daily AND completed_at IS NOT NULL
GROUP BY vendor
ORDER BY vendor
