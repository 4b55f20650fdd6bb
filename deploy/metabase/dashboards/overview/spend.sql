WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  spend.month,
  SUM(spend.spend_usd) AS spend_usd,
  CASE
    WHEN COUNTIF(spend.previous_same_days_usd IS NULL) = 0 THEN SUM(spend.previous_same_days_usd)
  END AS same_days_before_usd
FROM ai_usage.kpi_spend_monthly AS spend
JOIN chosen ON spend.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE TRUE [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
GROUP BY spend.month
ORDER BY spend.month
