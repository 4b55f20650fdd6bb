-- Members of the newest spend snapshot with negative on-demand spend, or more than their overall spend.
WITH member AS (
  SELECT snapshot_date, email, SUM(on_demand_usd) AS on_demand_usd, SUM(overall_usd) AS overall_usd
  FROM ai_usage.stg_cursor_spend
  WHERE snapshot_date BETWEEN @start_day AND @today AND email IS NOT NULL
  GROUP BY snapshot_date, email
)
SELECT snapshot_date, COUNT(*) AS members
FROM member
WHERE (on_demand_usd < 0 OR on_demand_usd > overall_usd)
  AND snapshot_date = (SELECT MAX(snapshot_date) FROM member)
GROUP BY snapshot_date
