WITH chosen AS (
  SELECT COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  ) AS month
)
SELECT
  CONCAT(
    SUBSTR(CAST(chosen.month AS STRING), 1, 7),
    CASE
      WHEN LOGICAL_OR(journal.status = 'open') THEN ': open'
      WHEN COUNT(journal.status) > 0 THEN CONCAT(': closed on ', CAST(DATE(MAX(journal.closed_at)) AS STRING))
      ELSE ': no lines'
    END
  ) AS journal_status
FROM chosen
LEFT JOIN ai_usage.kpi_chargeback AS journal ON journal.posting_month = chosen.month
GROUP BY chosen.month
