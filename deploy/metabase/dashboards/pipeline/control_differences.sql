SELECT usage_date, vendor, control, reported_usd, control_usd, difference_usd, tolerance_usd,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_reconciliation
WHERE DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  AND status = 'differs' [[AND vendor IN ({{vendor}})]]
ORDER BY ABS(difference_usd) DESC, usage_date, control
