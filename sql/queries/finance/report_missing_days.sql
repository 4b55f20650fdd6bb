-- The missing days of the vendors' bills.
SELECT vendor, usage_date, status, message
FROM ai_usage.kpi_completeness
WHERE is_bill AND is_missing AND usage_date BETWEEN @month AND @through_day
ORDER BY usage_date, vendor
