WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  SUBSTR(CAST(backtest.month AS STRING), 1, 7) AS month, backtest.origin_day, backtest.forecast_usd, backtest.actual_usd,
  backtest.error_ratio, backtest.naive_error_ratio
FROM ai_usage.kpi_forecast_backtest AS backtest
JOIN chosen ON backtest.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE backtest.scope = 'total'
ORDER BY backtest.month DESC, backtest.origin_day
