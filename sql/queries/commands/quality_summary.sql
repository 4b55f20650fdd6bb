-- How many daily totals match the vendors' control totals, and how many days of the bill are loaded.
SELECT
  reconciliation.totals,
  reconciliation.equal,
  reconciliation.differing,
  completeness.days,
  completeness.loaded,
  completeness.provisional
FROM (
  SELECT COUNT(*) AS totals, COUNTIF(status = 'equal') AS equal, COUNTIF(status = 'differs') AS differing
  FROM ai_usage.kpi_reconciliation
) AS reconciliation
CROSS JOIN (
  SELECT
    COUNT(*) AS days,
    COUNTIF(status IN ('complete', 'provisional')) AS loaded,
    COUNTIF(status = 'provisional') AS provisional
  FROM ai_usage.kpi_completeness
  WHERE is_bill AND (is_missing OR completed_at IS NOT NULL)
) AS completeness
