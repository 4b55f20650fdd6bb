SELECT CAST(SUM(missing_days) AS INT64) AS missing_days
FROM ai_usage.kpi_month_held
WHERE month = COALESCE([[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over))
  [[AND vendor IN ({{vendor}})]]
