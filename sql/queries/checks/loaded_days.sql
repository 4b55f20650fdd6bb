-- Every loaded day with records, of every raw table.
SELECT asset, usage_date, amount_usd
FROM ai_usage.ops_asset_days
WHERE completed_at IS NOT NULL AND records > 0
ORDER BY asset, usage_date
