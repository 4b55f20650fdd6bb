-- Only complete months are compared.
WITH chosen AS (
  SELECT month, COUNTIF(missing_days > 0 OR NOT is_previous_month_loaded) = 0 AS is_comparable
  FROM ai_usage.int_month_completeness
  WHERE month = COALESCE(
      [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
    )
    [[AND vendor IN ({{vendor}})]]
  GROUP BY month
), unit AS (
  SELECT
    month, CAST(SAFE_DIVIDE(SUM(amount_usd) * 1000000, SUM(total_tokens)) AS NUMERIC) AS usd_per_million_tokens
  FROM ai_usage.kpi_unit_cost
  WHERE cost_basis = 'billed' AND total_tokens > 0 [[AND vendor IN ({{vendor}})]]
  GROUP BY month
)
SELECT
  chosen.month, unit.usd_per_million_tokens,
  CASE WHEN chosen.is_comparable THEN previous.usd_per_million_tokens END AS previous_usd_per_million_tokens
FROM chosen
JOIN unit ON unit.month = chosen.month
LEFT JOIN unit AS previous ON previous.month = DATE_SUB(chosen.month, INTERVAL 1 MONTH)
WHERE unit.usd_per_million_tokens IS NOT NULL
