-- The forecast of the month's total.
SELECT forecast_usd, low_usd, high_usd, missing_days
FROM ai_usage.kpi_forecast_total
WHERE month = @month
