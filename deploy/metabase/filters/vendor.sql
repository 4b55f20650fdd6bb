SELECT vendor
FROM ai_usage.kpi_freshness
ORDER BY vendor
