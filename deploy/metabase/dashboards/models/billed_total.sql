-- A month without billed usage is 0, a month without loaded days is no row; only complete periods are compared.
WITH chosen AS (
  SELECT
    month, LOGICAL_OR(has_loaded_days) AS has_data, COUNTIF(NOT is_comparable) = 0 AS is_comparable
  FROM ai_usage.int_month_completeness
  WHERE month = COALESCE(
      [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
    )
    [[AND vendor IN ({{vendor}})]]
  GROUP BY month
), mix AS (
  SELECT month, SUM(amount_usd) AS billed_usd, SUM(previous_amount_usd) AS same_days_before_usd
  FROM ai_usage.kpi_model_mix
  WHERE cost_basis = 'billed' [[AND vendor IN ({{vendor}})]]
  GROUP BY month
)
SELECT
  chosen.month, COALESCE(mix.billed_usd, 0) AS billed_usd,
  CASE WHEN chosen.is_comparable THEN mix.same_days_before_usd END AS same_days_before_usd
FROM chosen
LEFT JOIN mix ON mix.month = chosen.month
WHERE chosen.has_data
