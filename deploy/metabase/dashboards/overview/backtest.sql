WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  SUBSTR(CAST(past.month AS STRING), 1, 7) AS month, past.origin_day, past.forecast_usd, past.actual_usd,
  past.error_ratio, past.naive_error_ratio
FROM ai_usage.kpi_forecast_backtest AS past
JOIN chosen ON past.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE past.scope = 'total'
ORDER BY past.month DESC, past.origin_day
