SELECT
  vendor, model, REPLACE(token_class, '_', ' ') AS token_class_name, cost_basis, tokens, amount_usd, usd_per_million,
  list_usd_per_million,
  REPLACE(price_status, '_', ' ') AS list_price_status,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_token_cost
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
ORDER BY amount_usd IS NULL, amount_usd DESC, vendor, model, token_class_name, cost_basis
