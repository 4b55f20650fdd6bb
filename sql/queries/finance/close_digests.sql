-- The digest of every loaded raw day of a month.
SELECT asset, usage_date, content_digest
FROM ai_usage.ops_asset_days
WHERE content_digest IS NOT NULL AND usage_date BETWEEN @first_day AND @last_day
ORDER BY asset, usage_date
