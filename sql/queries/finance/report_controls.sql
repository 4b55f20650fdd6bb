-- How many days match each control total.
SELECT
  vendor,
  control,
  COUNT(*) AS days,
  COUNTIF(status = 'equal') AS equal_days,
  COUNTIF(status = 'within_tolerance') AS close_days,
  COUNTIF(status = 'differs') AS different_days,
  SUM(CASE WHEN status = 'differs' THEN ABS(difference_usd) END) AS difference_usd
FROM ai_usage.kpi_reconciliation
WHERE usage_date BETWEEN @month AND @through_day
GROUP BY vendor, control
ORDER BY vendor, control
