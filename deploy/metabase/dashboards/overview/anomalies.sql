WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  anomaly.usage_date, anomaly.vendor, anomaly.cost_basis, REPLACE(anomaly.dimension, '_', ' ') AS dimension,
  COALESCE(anomaly.dimension_name, anomaly.dimension_value) AS dimension_value,
  anomaly.team, anomaly.top_model, anomaly.amount_usd, anomaly.expected_usd, anomaly.excess_usd,
  CASE WHEN anomaly.is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_anomaly AS anomaly
JOIN chosen
  ON anomaly.usage_date >= DATE_SUB(chosen.month, INTERVAL 2 MONTH)
  AND anomaly.usage_date < DATE_ADD(chosen.month, INTERVAL 1 MONTH)
WHERE anomaly.event_rank = 1 [[AND vendor IN ({{vendor}})]]
ORDER BY anomaly.usage_date DESC, anomaly.excess_usd DESC, dimension_value
