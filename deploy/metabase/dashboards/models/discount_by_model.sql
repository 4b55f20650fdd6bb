SELECT
  vendor, model, list_usd, billed_usd, discount_usd, discount_ratio,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_discount
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
ORDER BY list_usd IS NULL, list_usd DESC, vendor, model
