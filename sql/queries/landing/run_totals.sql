-- What a run loaded, from the day log: records, bytes, and dollars of the bill.
SELECT
  COALESCE(SUM(entry.records), 0) AS landed_records,
  COALESCE(SUM(entry.bytes), 0) AS landed_bytes,
  COALESCE(SUM(CASE WHEN vendor.bill_asset IS NULL THEN 0 ELSE entry.amount_usd END), 0) AS landed_usd
FROM ai_usage.ops_asset_days AS entry
LEFT JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = entry.asset
WHERE entry.landed_run_id = @run_id
