-- Bills of final days that were last loaded before the vendor settled them.
SELECT
  entry.vendor, COUNT(*) AS days, MIN(entry.usage_date) AS first_day, MAX(entry.usage_date) AS last_day,
  SUM(entry.amount_usd) AS amount_usd
FROM ai_usage.ops_asset_days AS entry
JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = entry.asset
JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.vendor = entry.vendor AND settlement.usage_date = entry.usage_date
WHERE entry.completed_at IS NOT NULL
  AND settlement.settles_on <= @today
  AND DATE(entry.completed_at) < settlement.settles_on
GROUP BY entry.vendor
ORDER BY entry.vendor
