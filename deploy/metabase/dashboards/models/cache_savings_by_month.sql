WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT saving.month, SUM(saving.saved_usd) AS saved_usd
FROM ai_usage.kpi_cache_savings AS saving
JOIN chosen ON saving.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE TRUE [[AND vendor IN ({{vendor}})]]
GROUP BY saving.month
ORDER BY saving.month
