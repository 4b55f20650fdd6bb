-- The spend of each day and vendor, and the part of it that a budget covers.
SELECT
  spend.usage_date,
  spend.vendor,
  SUM(spend.spend_usd) AS spend_usd,
  SUM(CASE WHEN budget.budget_usd IS NOT NULL THEN spend.spend_usd END) AS budgeted_usd,
  LOGICAL_OR(spend.is_provisional) AS is_provisional
FROM ai_usage.kpi_spend_daily AS spend
LEFT JOIN ai_usage.stg_budgets AS budget
  ON budget.month = @month AND budget.cost_center = spend.cost_center
WHERE spend.usage_date BETWEEN @month AND @through_day
GROUP BY spend.usage_date, spend.vendor
ORDER BY spend.usage_date, spend.vendor
