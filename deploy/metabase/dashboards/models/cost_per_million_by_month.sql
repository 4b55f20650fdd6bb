WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  unit.month, dim_vendor.label AS vendor,
  CAST(SAFE_DIVIDE(SUM(unit.amount_usd) * 1000000, SUM(unit.total_tokens)) AS NUMERIC) AS usd_per_million_tokens
FROM ai_usage.kpi_unit_cost AS unit
JOIN ai_usage.dim_vendor ON dim_vendor.vendor = unit.vendor
JOIN chosen ON unit.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE unit.cost_basis = 'billed' AND unit.total_tokens > 0 [[AND unit.vendor IN ({{vendor}})]]
GROUP BY unit.month, dim_vendor.label
ORDER BY unit.month, dim_vendor.label
