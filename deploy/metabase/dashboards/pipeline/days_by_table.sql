SELECT
  vendor, asset,
  CASE WHEN LOGICAL_OR(is_bill) THEN 'yes' ELSE 'no' END AS part_of_bill,
  COUNTIF(status = 'complete') AS final_days,
  COUNTIF(status = 'provisional') AS provisional_days,
  COUNTIF(is_missing OR status IN ('incomplete', 'failed')) AS missing_days,
  COUNTIF(NOT is_missing AND status IN ('not_exposed', 'not_configured', 'not_loaded')) AS unavailable_days,
  MAX(completed_at) AS last_read_at
FROM ai_usage.kpi_completeness
WHERE DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
GROUP BY vendor, asset
ORDER BY LOGICAL_OR(is_bill) DESC, vendor, asset
