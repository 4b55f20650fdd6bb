-- A share of what is known alone would look like all.
WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  chosen.month, seat.utilisation_ratio,
  CASE WHEN previous.unknown_seats = 0 THEN previous.utilisation_ratio END AS previous_utilisation_ratio
FROM chosen
JOIN ai_usage.kpi_seat_summary AS seat ON seat.month = chosen.month AND seat.vendor = 'cursor'
LEFT JOIN ai_usage.kpi_seat_summary AS previous
  ON previous.month = DATE_SUB(chosen.month, INTERVAL 1 MONTH) AND previous.vendor = 'cursor'
WHERE seat.utilisation_ratio IS NOT NULL AND seat.unknown_seats = 0
