-- Budget and spend of each cost center in a month.
SELECT
  cost_center, budget_usd, spend_usd, variance_usd, projected_usd,
  (
    SELECT MAX(usage_date) FROM ai_usage.fct_cost_daily
    WHERE cost_basis IN ('billed', 'seat') AND usage_date BETWEEN @month AND @day
  ) AS last_spend_date
FROM ai_usage.kpi_budget_vs_actual
WHERE month = @month
ORDER BY variance_usd DESC, cost_center
