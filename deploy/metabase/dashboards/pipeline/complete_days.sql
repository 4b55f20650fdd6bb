SELECT COUNTIF(completed_at IS NOT NULL) AS complete_days, COUNTIF(is_missing OR completed_at IS NOT NULL) AS days
FROM ai_usage.kpi_completeness
WHERE is_bill
  AND DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
