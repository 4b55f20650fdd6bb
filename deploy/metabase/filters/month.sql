SELECT DISTINCT SUBSTR(CAST(month AS STRING), 1, 7) AS month
FROM ai_usage.dim_date
WHERE is_over
ORDER BY month DESC
