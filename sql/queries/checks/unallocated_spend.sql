-- This month's spend without a cost center, by principal and the sheet row to add.
WITH line AS (
  SELECT
    vendor, REGEXP_REPLACE(next_step, '[.]$', '') AS next_step, first_day, spend_usd,
    CASE
      WHEN person_email IS NOT NULL THEN 'people without a cost center'
      -- A user's id is an e-mail address at some vendors.
      ELSE COALESCE(
        api_key_name, api_key_id, CASE WHEN principal_type <> 'user' THEN principal_id END, 'unknown principal'
      )
    END AS principal
  FROM ai_usage.kpi_unallocated
  WHERE month = DATE_TRUNC(@end_day, MONTH)
)
SELECT vendor, principal, next_step, MIN(first_day) AS first_day, SUM(spend_usd) AS amount_usd
FROM line
GROUP BY vendor, principal, next_step
HAVING SUM(spend_usd) <> 0
ORDER BY amount_usd DESC, vendor, principal, next_step
