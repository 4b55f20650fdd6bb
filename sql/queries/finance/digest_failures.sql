-- Why each source could not be read completely on the day of the last run: the message of its newest failed day.
SELECT vendor, message
FROM ai_usage.kpi_completeness
WHERE status = 'failed' AND DATE(attempted_at) = as_of_date
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY vendor ORDER BY CASE WHEN is_bill THEN 0 ELSE 1 END, usage_date DESC, asset
) = 1
ORDER BY vendor
