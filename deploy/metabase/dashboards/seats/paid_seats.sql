SELECT CAST(SUM(paid_seats) AS INT64) AS paid_seats
FROM ai_usage.kpi_seat_summary
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
