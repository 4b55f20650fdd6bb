CREATE TABLE IF NOT EXISTS ai_usage.int_cursor_limit_monthly (
  snapshot_date DATE NOT NULL OPTIONS (description = "UTC day of the month's last spend snapshot."),
  holder STRING OPTIONS (description = "Member's e-mail, else id."),
  limit_usd NUMERIC OPTIONS (description = "On-demand dollars the member may spend in a billing cycle; NULL when none is set."),
  on_demand_usd NUMERIC OPTIONS (description = "On-demand dollars of the cycle so far.")
)
OPTIONS (description = "How much each Cursor member had spent of their limit, by the last spend snapshot of each month.")
AS
WITH limit_day AS (
  SELECT MAX(snapshot_date) AS snapshot_date
  FROM ai_usage.stg_cursor_spend
  WHERE snapshot_date BETWEEN @first_day AND @today
  GROUP BY DATE_TRUNC(snapshot_date, MONTH)
)
SELECT
  spend.snapshot_date,
  COALESCE(spend.email, spend.user_id) AS holder,
  MAX(spend.limit_usd) AS limit_usd,
  SUM(spend.on_demand_usd) AS on_demand_usd
FROM ai_usage.stg_cursor_spend AS spend
JOIN limit_day ON limit_day.snapshot_date = spend.snapshot_date
WHERE spend.snapshot_date BETWEEN @first_day AND @today
GROUP BY spend.snapshot_date, COALESCE(spend.email, spend.user_id)
