WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
), spent AS (
  SELECT
    month,
    SUM(CASE WHEN vendor = 'anthropic' THEN spend_usd END) AS anthropic_usd,
    SUM(CASE WHEN vendor = 'cursor' THEN spend_usd END) AS cursor_usd
  FROM ai_usage.kpi_spend_monthly
  WHERE TRUE [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
  GROUP BY month
), budget AS (
  SELECT month, SUM(budget_usd) AS budget_usd
  FROM ai_usage.kpi_budget_vs_actual
  WHERE TRUE [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
  GROUP BY month
)
SELECT spent.month, spent.anthropic_usd, spent.cursor_usd, budget.budget_usd
FROM spent
JOIN chosen ON spent.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
LEFT JOIN budget ON budget.month = spent.month
ORDER BY spent.month
