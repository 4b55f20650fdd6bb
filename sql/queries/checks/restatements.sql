-- Bills of days older than @recent_days that a load of today changed by more than the tolerance.
SELECT
  change.vendor, change.usage_date, COALESCE(change.old_amount_usd, 0) AS old_usd,
  COALESCE(change.new_amount_usd, 0) AS new_usd,
  ABS(COALESCE(change.new_amount_usd, 0) - COALESCE(change.old_amount_usd, 0)) AS amount_usd
FROM ai_usage.ops_restatements AS change
JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = change.asset
WHERE change.usage_date BETWEEN @start_day AND @end_day
  AND DATE(change.restated_at) = @today
  AND DATE_DIFF(@today, change.usage_date, DAY) > @recent_days
  AND ABS(COALESCE(change.new_amount_usd, 0) - COALESCE(change.old_amount_usd, 0))
    > GREATEST(@tolerance_usd, @tolerance_share * ABS(COALESCE(change.old_amount_usd, 0)))
ORDER BY change.vendor, change.usage_date, change.restated_at
