-- Empty if the activity of one of the 30 days is unknown.
SELECT CAST(CASE WHEN MAX(unknown_days_30d) = 0 THEN COUNTIF(is_reclaimable) END AS INT64) AS reclaimable_seats
FROM ai_usage.kpi_seat_utilization
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
