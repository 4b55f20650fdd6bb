-- Members whose reported spend in the billing cycle differs from their usage events.
-- A snapshot is taken during its day, so its spend is between the events up to the start and up to the end of that day.
WITH loaded AS (
  SELECT usage_date FROM ai_usage.ops_asset_days
  WHERE asset = 'raw_cursor_usage_events' AND completed_at IS NOT NULL
), snapshot AS (
  SELECT
    spend.snapshot_date, spend.email, MIN(spend.cycle_started_at) AS cycle_started_at,
    SUM(spend.on_demand_usd) AS on_demand_usd, SUM(spend.overall_usd) AS overall_usd
  FROM ai_usage.stg_cursor_spend AS spend
  WHERE spend.snapshot_date BETWEEN @start_day AND @today AND spend.email IS NOT NULL
  GROUP BY spend.snapshot_date, spend.email
), complete_cycle AS (
  -- Snapshots with every earlier day of their billing cycle loaded.
  SELECT
    day.snapshot_date,
    LOGICAL_OR(loaded.usage_date = day.snapshot_date) AS is_day_loaded
  FROM (SELECT snapshot_date, MIN(cycle_started_at) AS cycle_started_at FROM snapshot GROUP BY snapshot_date) AS day
  JOIN loaded ON loaded.usage_date BETWEEN DATE(day.cycle_started_at) AND day.snapshot_date
  GROUP BY day.snapshot_date, day.cycle_started_at
  HAVING COUNTIF(loaded.usage_date < day.snapshot_date) = DATE_DIFF(day.snapshot_date, DATE(day.cycle_started_at), DAY)
    AND DATE(day.cycle_started_at) >= DATE_SUB(@start_day, INTERVAL 62 DAY)
), newest AS (
  SELECT snapshot_date, is_day_loaded
  FROM complete_cycle
  QUALIFY ROW_NUMBER() OVER (PARTITION BY is_day_loaded ORDER BY snapshot_date DESC) = 1
), event AS (
  SELECT usage_date, event_at, user_email, amount_usd, kind_class = 'on_demand' AS is_on_demand
  FROM ai_usage.stg_cursor_usage_events
  -- A billing cycle is a month, and began before the first of these snapshots.
  WHERE usage_date BETWEEN DATE_SUB(@start_day, INTERVAL 62 DAY) AND @today AND service_account_id IS NULL
), member AS (
  SELECT
    snapshot.snapshot_date,
    snapshot.email,
    snapshot.on_demand_usd,
    snapshot.overall_usd,
    newest.is_day_loaded,
    SUM(CASE WHEN event.is_on_demand AND event.usage_date < snapshot.snapshot_date THEN event.amount_usd ELSE 0 END)
      AS on_demand_from_usd,
    SUM(CASE WHEN event.is_on_demand THEN event.amount_usd ELSE 0 END) AS on_demand_to_usd,
    SUM(CASE WHEN event.usage_date < snapshot.snapshot_date THEN event.amount_usd ELSE 0 END) AS overall_from_usd,
    COALESCE(SUM(event.amount_usd), 0) AS overall_to_usd
  FROM snapshot
  JOIN newest ON newest.snapshot_date = snapshot.snapshot_date
  LEFT JOIN event
    ON event.user_email = snapshot.email
    AND event.event_at >= snapshot.cycle_started_at
    AND event.usage_date BETWEEN DATE(snapshot.cycle_started_at) AND snapshot.snapshot_date
  GROUP BY
    snapshot.snapshot_date, snapshot.email, snapshot.on_demand_usd, snapshot.overall_usd, newest.is_day_loaded
), difference AS (
  SELECT
    snapshot_date, 'on demand' AS measure, 'less than the events of some members' AS problem,
    SUM(on_demand_usd) AS stated_usd, SUM(GREATEST(on_demand_from_usd - on_demand_usd, 0)) AS amount_usd
  FROM member
  GROUP BY snapshot_date
  UNION ALL
  SELECT
    snapshot_date, 'on demand', 'more than the loaded events of some members', SUM(on_demand_usd),
    SUM(CASE WHEN is_day_loaded THEN GREATEST(on_demand_usd - on_demand_to_usd, 0) ELSE 0 END)
  FROM member
  GROUP BY snapshot_date
  UNION ALL
  SELECT
    snapshot_date, 'overall', 'less than the events of some members', SUM(overall_usd),
    SUM(GREATEST(overall_from_usd - overall_usd, 0))
  FROM member
  GROUP BY snapshot_date
  UNION ALL
  SELECT
    snapshot_date, 'overall', 'more than the loaded events of some members', SUM(overall_usd),
    SUM(CASE WHEN is_day_loaded THEN GREATEST(overall_usd - overall_to_usd, 0) ELSE 0 END)
  FROM member
  GROUP BY snapshot_date
)
SELECT snapshot_date, measure, problem, stated_usd, amount_usd
FROM difference
-- Cursor has not always sent each measure: then stated_usd is NULL.
WHERE amount_usd > GREATEST(@tolerance_usd, @tolerance_share * ABS(stated_usd))
ORDER BY snapshot_date, measure, problem
