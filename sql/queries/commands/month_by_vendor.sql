-- Spend of a month per vendor, and of the same days of the previous month.
SELECT
  vendor,
  SUM(billed_usd) AS billed_usd,
  SUM(seat_usd) AS seat_usd,
  SUM(spend_usd) AS spend_usd,
  SUM(previous_same_days_usd) AS previous_usd,
  SUM(change_usd) AS change_usd,
  SUM(included_usd) AS included_usd
FROM ai_usage.kpi_spend_monthly
WHERE month = @month
GROUP BY vendor
ORDER BY spend_usd DESC
