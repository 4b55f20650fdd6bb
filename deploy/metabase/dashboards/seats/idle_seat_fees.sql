-- Empty if the activity of a seat is unknown.
SELECT CASE WHEN SUM(unknown_seats) = 0 THEN SUM(idle_usd) END AS idle_usd
FROM ai_usage.kpi_seat_summary
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
