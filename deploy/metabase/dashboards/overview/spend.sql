-- A month without spend is 0, a month without loaded days is no row; only complete periods are compared.
WITH chosen AS (
  SELECT
    month, LOGICAL_OR(has_loaded_days) AS has_data, COUNTIF(NOT is_comparable) = 0 AS is_comparable
  FROM ai_usage.int_month_completeness
  WHERE month = COALESCE(
      [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
    )
    [[AND vendor IN ({{vendor}})]]
  GROUP BY month
), spent AS (
  SELECT month, SUM(spend_usd) AS spend_usd, SUM(previous_same_days_usd) AS same_days_before_usd
  FROM ai_usage.kpi_spend_monthly
  WHERE TRUE [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
  GROUP BY month
)
SELECT
  chosen.month, COALESCE(spent.spend_usd, 0) AS spend_usd,
  CASE WHEN chosen.is_comparable THEN spent.same_days_before_usd END AS same_days_before_usd
FROM chosen
LEFT JOIN spent ON spent.month = chosen.month
-- Seat fees are known even if no day of the bill is loaded.
WHERE chosen.has_data OR spent.spend_usd <> 0
