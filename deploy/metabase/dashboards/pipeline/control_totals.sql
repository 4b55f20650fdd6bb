SELECT
  vendor, control, COUNT(*) AS days, COUNTIF(status = 'equal') AS equal_days,
  COUNTIF(status = 'within_tolerance') AS within_tolerance_days, COUNTIF(status = 'differs') AS differing_days,
  SUM(CASE WHEN status = 'differs' THEN ABS(difference_usd) END) AS difference_usd,
  CASE WHEN LOGICAL_OR(is_provisional) THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_reconciliation
WHERE DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
GROUP BY vendor, control
ORDER BY vendor, control
