-- The spend of a day by vendor.
SELECT vendor, SUM(seat_usd) AS seat_usd, SUM(spend_usd) AS spend_usd
FROM ai_usage.kpi_spend_daily
WHERE usage_date = @day
GROUP BY vendor
ORDER BY vendor
