-- Empty if the month has no control totals.
SELECT CASE WHEN COUNT(*) > 0 THEN COUNTIF(status = 'differs') END AS differing_days
FROM ai_usage.kpi_reconciliation
WHERE DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
