WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  mix.month,
  SUM(mix.amount_usd) AS billed_usd,
  CASE
    WHEN COUNTIF(mix.previous_amount_usd IS NULL) = 0 THEN SUM(mix.previous_amount_usd)
  END AS same_days_before_usd
FROM ai_usage.kpi_model_mix AS mix
JOIN chosen ON mix.month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE mix.cost_basis = 'billed' [[AND vendor IN ({{vendor}})]]
GROUP BY mix.month
ORDER BY mix.month
