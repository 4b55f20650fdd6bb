WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  restated.usage_date, restated.vendor, COALESCE(restated.cost_basis, 'billed and included') AS cost_basis,
  restated.old_amount_usd, restated.new_amount_usd, restated.delta_usd, restated.restated_at, restated.days_later,
  CASE WHEN restated.was_settled THEN 'after final' ELSE 'while provisional' END AS restated_when,
  CASE WHEN restated.is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_restatements AS restated
JOIN chosen
  ON restated.usage_date >= DATE_SUB(chosen.month, INTERVAL 12 MONTH)
  AND restated.usage_date < DATE_ADD(chosen.month, INTERVAL 1 MONTH)
WHERE restated.dimension = 'total' [[AND vendor IN ({{vendor}})]]
ORDER BY restated.usage_date DESC, restated.vendor, restated.restated_at
