-- The last loaded day of each vendor's bill, and its missing days in a month.
SELECT
  vendor,
  MAX(CASE WHEN completed_at IS NOT NULL THEN usage_date END) AS last_day,
  COUNTIF(is_missing AND usage_date = @day) > 0 AS is_behind,
  COUNTIF(is_missing AND usage_date BETWEEN @month AND @day) AS missing_days
FROM ai_usage.kpi_completeness
WHERE is_bill
GROUP BY vendor
ORDER BY vendor
