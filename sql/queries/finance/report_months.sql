-- The finished days of every month in the calendar.
SELECT
  month,
  MIN(usage_date) AS first_day,
  MAX(usage_date) AS through_day,
  MAX(days_in_month) AS days_in_month,
  MAX(as_of_date) AS as_of_date
FROM ai_usage.dim_date
WHERE is_over
GROUP BY month
