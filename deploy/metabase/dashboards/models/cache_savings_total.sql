SELECT SUM(saved_usd) AS saved_usd
FROM ai_usage.kpi_cache_savings
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
