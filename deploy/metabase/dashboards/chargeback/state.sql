SELECT
  CASE
    WHEN LOGICAL_OR(status = 'open') THEN 'Open: may still change'
    WHEN COUNT(*) > 0 THEN CONCAT('Closed on ', CAST(DATE(MAX(closed_at)) AS STRING))
  END AS state
FROM ai_usage.kpi_chargeback
WHERE posting_month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
