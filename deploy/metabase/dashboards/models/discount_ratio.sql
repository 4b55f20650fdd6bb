SELECT CAST(SAFE_DIVIDE(SUM(discount_usd), SUM(list_usd)) AS NUMERIC) AS discount_ratio
FROM ai_usage.kpi_discount
WHERE month = COALESCE([[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over))
  [[AND vendor IN ({{vendor}})]]
