WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  SUBSTR(CAST(journal.posting_month AS STRING), 1, 7) AS posting_month,
  SUBSTR(CAST(journal.usage_month AS STRING), 1, 7) AS usage_month,
  COALESCE(journal.cost_center, 'Unallocated') AS cost_center, journal.vendor, journal.cost_basis, journal.reason,
  SUM(journal.amount_usd) AS amount_usd, MIN(journal.status) AS journal_status
FROM ai_usage.kpi_chargeback AS journal
JOIN chosen ON journal.posting_month BETWEEN DATE_SUB(chosen.month, INTERVAL 12 MONTH) AND chosen.month
WHERE journal.line_type = 'correction'
  [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
GROUP BY
  journal.posting_month, journal.usage_month, journal.cost_center, journal.vendor, journal.cost_basis, journal.reason
ORDER BY posting_month DESC, usage_month DESC, cost_center, journal.vendor, journal.cost_basis, journal.reason
