SELECT vendor
FROM ai_usage.ops_freshness
ORDER BY vendor
