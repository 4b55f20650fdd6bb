SELECT usage_date, vendor, asset, status, message, attempted_at
FROM ai_usage.kpi_completeness
WHERE DATE_TRUNC(usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  AND (is_missing OR status IN ('incomplete', 'failed')) [[AND vendor IN ({{vendor}})]]
ORDER BY usage_date DESC, vendor, asset
