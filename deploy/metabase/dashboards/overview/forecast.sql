-- Only the current month has a forecast; it is empty if the forecast of one line is missing.
SELECT CASE WHEN COUNTIF(forecast_usd IS NULL) = 0 THEN SUM(forecast_usd) END AS forecast_usd
FROM ai_usage.kpi_forecast
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
