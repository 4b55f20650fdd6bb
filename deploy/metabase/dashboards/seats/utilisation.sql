WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT seat.month, seat.utilisation_ratio
FROM ai_usage.kpi_seat_summary AS seat
JOIN chosen ON seat.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE seat.vendor = 'cursor'
ORDER BY seat.month
