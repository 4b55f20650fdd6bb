SELECT model, SUM(amount_usd) AS billed_usd
FROM ai_usage.kpi_unit_cost
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
  AND cost_basis = 'billed'
GROUP BY model
ORDER BY billed_usd DESC, model
