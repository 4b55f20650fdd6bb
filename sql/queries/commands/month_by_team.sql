-- Spend of a month per team and cost center, and of the same days of the previous month.
SELECT
  COALESCE(team, 'No team') AS team,
  cost_center,
  SUM(spend_usd) AS spend_usd,
  SUM(previous_same_days_usd) AS previous_usd,
  SUM(change_usd) AS change_usd
FROM ai_usage.kpi_spend_monthly
WHERE month = @month
GROUP BY team, cost_center
ORDER BY spend_usd DESC
