-- Restatements of days of the month, and restatements of other days that were detected in the month.
SELECT
  usage_date,
  vendor,
  cost_basis,
  old_amount_usd,
  new_amount_usd,
  delta_usd,
  restated_at,
  days_later,
  was_settled
FROM ai_usage.kpi_restatements
WHERE dimension = 'total'
  AND (usage_date BETWEEN @month AND @through_day OR DATE(restated_at) BETWEEN @month AND @through_day)
ORDER BY ABS(delta_usd) DESC, usage_date, vendor, restated_at
