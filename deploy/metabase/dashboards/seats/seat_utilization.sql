-- Empty if the activity of a seat is unknown: a share of the other seats would be misleading.
WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
), utilization AS (
  SELECT
    month,
    CAST(ROUND(CAST(SAFE_DIVIDE(SUM(active_seats), SUM(paid_seats)) AS NUMERIC), 6) AS NUMERIC) AS utilization_ratio
  FROM ai_usage.kpi_seat_summary
  GROUP BY month
  HAVING SUM(unknown_seats) = 0
)
SELECT
  chosen.month,
  MAX(CASE WHEN utilization.month = chosen.month THEN utilization.utilization_ratio END) AS utilization_ratio,
  MAX(CASE WHEN utilization.month < chosen.month THEN utilization.utilization_ratio END) AS previous_utilization_ratio
FROM chosen
JOIN utilization ON utilization.month IN (chosen.month, DATE_SUB(chosen.month, INTERVAL 1 MONTH))
GROUP BY chosen.month
HAVING MAX(CASE WHEN utilization.month = chosen.month THEN utilization.utilization_ratio END) IS NOT NULL
