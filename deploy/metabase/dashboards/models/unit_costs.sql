SELECT
  vendor, model, cost_basis, amount_usd, total_tokens, requests, people, usd_per_million_tokens, usd_per_request,
  usd_per_person,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_unit_cost
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
ORDER BY cost_basis, amount_usd DESC, vendor, model
