-- The number of days of each vendor's bill by status.
SELECT vendor, status, COUNT(*) AS days, COUNTIF(completed_at IS NOT NULL) AS loaded_days
FROM ai_usage.kpi_completeness
WHERE is_bill AND usage_date BETWEEN @month AND @through_day
GROUP BY vendor, status
ORDER BY vendor, status
