WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  spike.usage_date, spike.vendor, spike.cost_basis, REPLACE(spike.dimension, '_', ' ') AS kind,
  COALESCE(spike.dimension_name, spike.dimension_value) AS whose,
  spike.team, spike.top_model, spike.amount_usd, spike.expected_usd, spike.excess_usd,
  CASE WHEN spike.is_provisional THEN 'may still change' ELSE 'final' END AS finality
FROM ai_usage.kpi_anomaly AS spike
JOIN chosen
  ON spike.usage_date >= DATE_SUB(chosen.month, INTERVAL 2 MONTH)
  AND spike.usage_date < DATE_ADD(chosen.month, INTERVAL 1 MONTH)
WHERE spike.event_rank = 1 [[AND vendor IN ({{vendor}})]]
ORDER BY spike.usage_date DESC, spike.excess_usd DESC, whose
