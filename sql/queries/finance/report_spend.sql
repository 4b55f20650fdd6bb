-- The spend of each vendor and team in each of the months shown.
SELECT
  month,
  vendor,
  team,
  MAX(through_date) AS through_day,
  SUM(billed_usd) AS billed_usd,
  SUM(seat_usd) AS seat_usd,
  SUM(spend_usd) AS spend_usd,
  SUM(included_usd) AS included_usd,
  CASE WHEN COUNTIF(previous_same_days_usd IS NULL) = 0 THEN SUM(previous_same_days_usd) END AS previous_usd,
  CAST(MAX(missing_days) AS INT64) AS missing_days,
  LOGICAL_OR(is_provisional) AS is_provisional
FROM ai_usage.kpi_spend_monthly
WHERE month BETWEEN @oldest_month AND @month
GROUP BY month, vendor, team
ORDER BY month, vendor, team
