-- The seats of each vendor in the month.
SELECT *
FROM ai_usage.kpi_seat_summary
WHERE month = @month
ORDER BY vendor
