WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  journal.posting_month,
  SUM(CASE WHEN journal.line_type = 'charge' THEN journal.amount_usd END) AS charge_usd,
  SUM(CASE WHEN journal.line_type = 'correction' THEN journal.amount_usd END) AS correction_usd
FROM ai_usage.kpi_chargeback AS journal
JOIN chosen ON journal.posting_month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE TRUE [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
GROUP BY journal.posting_month
ORDER BY journal.posting_month
