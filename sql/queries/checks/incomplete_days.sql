-- Days of the run that are not complete, by raw table and cause.
SELECT
  completeness.asset, completeness.status, COALESCE(completeness.message, '') AS message,
  COUNT(*) AS days, MIN(completeness.usage_date) AS first_day, MAX(completeness.usage_date) AS last_day,
  SUM(completeness.amount_usd) AS amount_usd
FROM ai_usage.kpi_completeness AS completeness
JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = completeness.vendor
WHERE completeness.status IN ('failed', 'incomplete', 'not_loaded')
  AND (
    completeness.usage_date BETWEEN @start_day AND @end_day
    OR (
      completeness.usage_date = @today
      AND completeness.asset IN (SELECT DISTINCT asset FROM ai_usage.ops_asset_days WHERE NOT is_daily)
    )
  )
GROUP BY completeness.asset, completeness.status, COALESCE(completeness.message, '')
ORDER BY completeness.asset, first_day
