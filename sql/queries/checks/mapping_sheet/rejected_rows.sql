-- Rejected rows of the newest version of each tab, with the last 30 days' spend of the key or person they name.
WITH version AS (
  SELECT *, MAX(read_at) OVER (PARTITION BY tab) AS last_read_at
  FROM ai_usage.raw_mapping_sheet
), rejected AS (
  SELECT
    tab, row_no, reject_reason,
    LOWER(COALESCE(JSON_VALUE(payload, '$.principal_id'), JSON_VALUE(payload, '$.person_email'))) AS principal
  FROM version
  WHERE read_at = last_read_at AND row_no > 0 AND reject_reason IS NOT NULL
), recent AS (
  SELECT api_key_id, principal_id, workspace_id, person_email, amount_usd
  FROM ai_usage.fct_cost_daily
  WHERE usage_date BETWEEN DATE_SUB(@end_day, INTERVAL 29 DAY) AND @end_day AND cost_basis <> 'included'
), spending AS (
  SELECT rejected.tab, rejected.row_no, rejected.reject_reason, rejected.principal, SUM(recent.amount_usd) AS spend_usd
  FROM rejected
  LEFT JOIN recent
    ON rejected.principal = LOWER(recent.api_key_id)
    OR rejected.principal = LOWER(recent.principal_id)
    OR rejected.principal = LOWER(recent.workspace_id)
    OR rejected.principal = LOWER(recent.person_email)
  GROUP BY rejected.tab, rejected.row_no, rejected.reject_reason, rejected.principal
)
SELECT
  tab, row_no, reject_reason, spend_usd,
  -- Two rows for one principal concern the same dollars, which count once.
  CASE WHEN ROW_NUMBER() OVER (PARTITION BY principal ORDER BY tab, row_no) = 1 THEN spend_usd END AS amount_usd
FROM spending
ORDER BY tab, row_no
