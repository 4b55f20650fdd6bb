WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  seat.month, CAST(SUM(seat.active_seats) AS INT64) AS active_seats, CAST(SUM(seat.idle_seats) AS INT64) AS idle_seats,
  CAST(SUM(seat.never_used_seats) AS INT64) AS never_used_seats, CAST(SUM(seat.unknown_seats) AS INT64) AS unknown_seats
FROM ai_usage.kpi_seat_summary AS seat
JOIN chosen ON seat.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
GROUP BY seat.month
ORDER BY seat.month
