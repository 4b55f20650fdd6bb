SELECT
  usage_date,
  COUNTIF(status = 'complete') AS final_tables,
  COUNTIF(status = 'provisional') AS provisional_tables,
  COUNTIF(is_missing OR status IN ('incomplete', 'failed')) AS missing_tables
FROM ai_usage.kpi_completeness
WHERE DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  AND usage_date < as_of_date AND vendor <> 'sheet' [[AND vendor IN ({{vendor}})]]
GROUP BY usage_date
ORDER BY usage_date
