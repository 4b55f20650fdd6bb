CREATE TABLE IF NOT EXISTS ai_usage.int_cursor_limit_monthly (
  snapshot_date DATE NOT NULL OPTIONS (description = "UTC day of the last spend snapshot of the month."),
  holder STRING OPTIONS (description = "E-mail of the member, or the id when there is no e-mail."),
  limit_usd NUMERIC OPTIONS (description = "US dollars that the member may spend on demand in a billing cycle; NULL when no limit is set."),
  on_demand_usd NUMERIC OPTIONS (description = "US dollars spent on demand in the billing cycle so far.")
)
OPTIONS (description = "Spend limit of each Cursor member and the amount spent, from the last spend snapshot of each month.")
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
