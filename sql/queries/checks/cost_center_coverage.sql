-- The last 30 days' spend, and the part of it without a cost center.
SELECT
  COALESCE(SUM(amount_usd), 0) AS spend_usd,
  COALESCE(SUM(CASE WHEN cost_center IS NULL THEN amount_usd ELSE 0 END), 0) AS unallocated_usd
FROM ai_usage.fct_cost_daily
WHERE usage_date BETWEEN DATE_SUB(@end_day, INTERVAL 29 DAY) AND @end_day AND cost_basis <> 'included'
