-- Budget and spend of each cost center in each of the months shown.
SELECT
  month,
  cost_center,
  budget_status,
  budget_note,
  budget_usd,
  spend_usd,
  variance_usd,
  used_ratio,
  pace_ratio,
  business_days,
  elapsed_business_days,
  projected_usd,
  projected_variance_usd,
  is_provisional
FROM ai_usage.kpi_budget_vs_actual
WHERE month BETWEEN @oldest_month AND @month
ORDER BY month, budget_usd IS NULL, variance_usd DESC, spend_usd DESC, cost_center
