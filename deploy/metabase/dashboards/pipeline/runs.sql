SELECT started_at, job, outcome, first_day, last_day, seconds, landed_records, landed_usd, version
FROM ai_usage.ops_runs
WHERE DATE_TRUNC(DATE(started_at), MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
ORDER BY started_at DESC
LIMIT 50
