WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  DATE_TRUNC(restated.usage_date, MONTH) AS month, dim_vendor.label AS vendor, SUM(restated.delta_usd) AS delta_usd
FROM ai_usage.kpi_restatements AS restated
JOIN ai_usage.dim_vendor ON dim_vendor.vendor = restated.vendor
JOIN chosen
  ON DATE_TRUNC(restated.usage_date, MONTH) BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE restated.dimension = 'total' AND restated.cost_basis = 'billed' [[AND restated.vendor IN ({{vendor}})]]
GROUP BY DATE_TRUNC(restated.usage_date, MONTH), dim_vendor.label
ORDER BY month, dim_vendor.label
