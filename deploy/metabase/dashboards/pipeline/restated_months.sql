WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  DATE_TRUNC(restated.usage_date, MONTH) AS month,
  SUM(CASE WHEN restated.vendor = 'anthropic' THEN restated.delta_usd END) AS anthropic_usd,
  SUM(CASE WHEN restated.vendor = 'cursor' THEN restated.delta_usd END) AS cursor_usd
FROM ai_usage.kpi_restatements AS restated
JOIN chosen
  ON DATE_TRUNC(restated.usage_date, MONTH) BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE restated.dimension = 'total' AND restated.cost_basis = 'billed' [[AND vendor IN ({{vendor}})]]
GROUP BY DATE_TRUNC(restated.usage_date, MONTH)
ORDER BY month
