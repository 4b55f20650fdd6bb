-- The budget is one more series: a chart with a breakout has one metric.
WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
), spend AS (
  SELECT spend.month, dim_vendor.label AS series, SUM(spend.spend_usd) AS amount_usd
  FROM ai_usage.kpi_spend_monthly AS spend
  JOIN ai_usage.dim_vendor ON dim_vendor.vendor = spend.vendor
  WHERE TRUE [[AND spend.vendor IN ({{vendor}})]] [[AND COALESCE(spend.cost_center, 'Unallocated') IN ({{cost_center}})]]
  GROUP BY spend.month, dim_vendor.label
), budget AS (
  SELECT month, SUM(budget_usd) AS amount_usd
  FROM ai_usage.kpi_budget_vs_actual
  WHERE TRUE [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
  GROUP BY month
), combined AS (
  SELECT month, series, amount_usd FROM spend
  UNION ALL
  SELECT month, 'Budget (all vendors)', amount_usd FROM budget
  WHERE amount_usd IS NOT NULL AND month IN (SELECT month FROM spend)
)
SELECT combined.month, combined.series, combined.amount_usd
FROM combined
JOIN chosen ON combined.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
ORDER BY combined.month, combined.series = 'Budget (all vendors)', combined.series
