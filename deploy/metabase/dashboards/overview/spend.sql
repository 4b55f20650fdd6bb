-- A month in which nothing was spent is 0, one of which no day is held is no row.
WITH chosen AS (
  SELECT month, LOGICAL_OR(missing_days < EXTRACT(DAY FROM through_date)) AS is_held
  FROM ai_usage.kpi_month_held
  WHERE month = COALESCE(
      [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
    )
    [[AND vendor IN ({{vendor}})]]
  GROUP BY month
), spent AS (
  SELECT
    month,
    SUM(spend_usd) AS spend_usd,
    CASE WHEN COUNTIF(previous_same_days_usd IS NULL) = 0 THEN SUM(previous_same_days_usd) END AS same_days_before_usd
  FROM ai_usage.kpi_spend_monthly
  WHERE TRUE [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
  GROUP BY month
)
SELECT chosen.month, COALESCE(spent.spend_usd, 0) AS spend_usd, spent.same_days_before_usd
FROM chosen
LEFT JOIN spent ON spent.month = chosen.month
WHERE chosen.is_held OR spent.month IS NOT NULL
