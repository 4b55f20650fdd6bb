SELECT
  COALESCE(cost_center, 'Unallocated') AS cost_center, vendor, cost_basis, spent_to_date_usd, expected_rest_usd,
  forecast_usd, low_usd, high_usd, missing_days,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_forecast
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
ORDER BY forecast_usd DESC, cost_center, vendor, cost_basis
