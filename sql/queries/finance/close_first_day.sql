-- The first day on which any vendor's bill was loaded.
SELECT MIN(entry.usage_date) AS first_day
FROM ai_usage.ops_asset_days AS entry
JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = entry.vendor AND vendor.bill_asset = entry.asset
WHERE entry.completed_at IS NOT NULL
