-- Tabs that could not be used today.
SELECT REPLACE(asset, 'raw_mapping_sheet/', '') AS tab, message
FROM ai_usage.ops_asset_days
WHERE STARTS_WITH(asset, 'raw_mapping_sheet/') AND usage_date = @today AND status = 'failed'
ORDER BY asset
