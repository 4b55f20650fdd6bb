CREATE OR REPLACE VIEW ai_usage.kpi_seat_utilization (
  month OPTIONS (description = "First day of the month."),
  through_date OPTIONS (description = "Last finished day of the month: a running month is month to date, and everything that is said as of a day is said as of this one."),
  vendor OPTIONS (description = "cursor. Anthropic's APIs do not say who holds a seat."),
  person_email OPTIONS (description = "Person who pays for the seat on its last day: its holder, unless the sheet names another."),
  user_email OPTIONS (description = "Holder's e-mail at the vendor; NULL when it tells none."),
  user_id OPTIONS (description = "Holder's id at the vendor."),
  name OPTIONS (description = "Name of the person, from the people tab; NULL when it is not there."),
  team OPTIONS (description = "Team on the seat's last day."),
  cost_center OPTIONS (description = "Cost center on the seat's last day; NULL = unallocated."),
  role OPTIONS (description = "Holder's role at the vendor on the seat's last day."),
  held_days OPTIONS (description = "Finished days of the month on which the seat was held."),
  inferred_days OPTIONS (description = "Of these, days before the first members snapshot, told by the vendor's daily usage rows instead. These name who was a member then; one whom the vendor has since dropped, or a seat never given to anybody, cannot be seen there. 0 = all days come from snapshots."),
  first_held_date OPTIONS (description = "First day on which the seat was held, in any month that is loaded."),
  last_held_date OPTIONS (description = "Last day of the month on which it was held; earlier than through_date: it was given back."),
  is_paid OPTIONS (description = "Whether the seat was paid for on its last day; a free-owner holds one that is not."),
  plan OPTIONS (description = "Plan of the price on the seat's last day; NULL when no price or several could apply."),
  monthly_price_usd OPTIONS (description = "Price of the seat per month in dollars, on its last day; NULL when unknown."),
  seat_usd OPTIONS (description = "Seat fees of its days in dollars (cost basis seat); NULL when the price is unknown or the seat is not paid, never 0."),
  unpriced_days OPTIONS (description = "Paid days whose price is unknown and which seat_usd lacks."),
  active_days OPTIONS (description = "Days of the month with activity: the vendor says so, or there are usage events of the person. Robots that carry a person's e-mail do not count. NULL when activity is not exposed and no event was seen."),
  last_active_date OPTIONS (description = "Last day with activity up to through_date, in any month that is loaded; NULL when there was none."),
  is_active_7d OPTIONS (description = "Whether there was activity in the 7 days up to through_date; NULL when that is not known."),
  is_active_30d OPTIONS (description = "Whether there was activity in the 30 days up to through_date; NULL when that is not known."),
  unknown_days_30d OPTIONS (description = "Of the 30 days up to through_date, those for which the vendor's daily usage is not held, days before the first that is loaded among them."),
  status OPTIONS (description = "active: activity in the month or in the 30 days up to through_date; idle: none in either, but earlier; never_used: none in all that is loaded; unknown: none seen, and the vendor's daily usage of these days is not exposed."),
  idle_usd OPTIONS (description = "Seat fees of the month for an idle or never used seat, in dollars; 0 for an active one, NULL when the status or the price is unknown."),
  is_reclaimable OPTIONS (description = "Reclaim list: whether the seat was held and paid on each of the 30 days up to through_date, and all of these days are known to be without activity."),
  included_usage_usd OPTIONS (description = "The holder's usage of the month that the seat or pool covers, in dollars at vendor rates (cost basis included). Never part of the spend. NULL when usage events are not held."),
  leverage_ratio OPTIONS (description = "included_usage_usd / seat_usd: 2.0 = usage worth twice the fee. NULL when either is unknown."),
  overage_usd OPTIONS (description = "Dollars billed for the holder's usage of the month on top of the seat (cost basis billed). NULL when usage events are not held."),
  limit_usd OPTIONS (description = "Dollars of on-demand usage the holder may spend in a billing cycle, as in the month's last spend snapshot; NULL when none is known."),
  limit_spent_usd OPTIONS (description = "On-demand dollars spent of it, in the vendor's billing cycle (not the month) up to the snapshot."),
  limit_used_ratio OPTIONS (description = "limit_spent_usd / limit_usd: 0.80 = 80 %."),
  is_near_limit OPTIONS (description = "Whether 80 % of the limit or more is spent; NULL when no limit is known."),
  limit_as_of_date OPTIONS (description = "Day of that spend snapshot."),
  is_provisional OPTIONS (description = "Whether the vendor may still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date.")
)
OPTIONS (description = "One row per month and holder of a Cursor seat: what the seat cost, whether it was used, what usage it covered, what came on top, and whether it can be given back. Idle means no activity in the month nor in the 30 days to its last finished day; that is only said where the vendor's daily usage is held, else the status is unknown. seat_usd adds up to the seat fees of kpi_spend_monthly.")
AS
WITH calendar AS (
  SELECT
    month,
    MAX(usage_date) AS through_date,
    DATE_SUB(MAX(usage_date), INTERVAL 29 DAY) AS first_of_30_date,
    LEAST(month, DATE_SUB(MAX(usage_date), INTERVAL 29 DAY)) AS first_of_window_date,
    MAX(as_of_date) AS as_of_date
  FROM ai_usage.dim_date
  WHERE is_over
  GROUP BY month
), seat AS (
  -- One holder for an e-mail, under whatever ids the vendor had it.
  SELECT *, COALESCE(user_email, user_id, 'not told') AS holder
  FROM ai_usage.fct_seat_daily
  WHERE is_paid OR role = 'free-owner'
), known_id AS (
  SELECT user_id, MAX(holder) AS holder
  FROM seat
  WHERE user_id IS NOT NULL
  GROUP BY user_id
), seat_month AS (
  SELECT
    calendar.month,
    seat.holder,
    COUNT(*) AS held_days,
    COUNTIF(seat.source = 'daily_usage') AS inferred_days,
    MIN(seat.usage_date) AS first_day_of_month,
    MAX(seat.usage_date) AS last_held_date,
    SUM(seat.amount_usd) AS seat_usd,
    COUNTIF(seat.is_paid AND seat.amount_usd IS NULL) AS unpriced_days
  FROM seat
  JOIN calendar ON calendar.month = DATE_TRUNC(seat.usage_date, MONTH)
  WHERE seat.usage_date <= calendar.through_date
  GROUP BY calendar.month, seat.holder
), paid_window AS (
  SELECT calendar.month, seat.holder, COUNT(*) AS paid_days_30d
  FROM calendar
  JOIN seat ON seat.usage_date BETWEEN calendar.first_of_30_date AND calendar.through_date
  WHERE seat.is_paid
  GROUP BY calendar.month, seat.holder
), last_seat AS (
  SELECT
    seat.holder, seat.usage_date, seat.identity_key, seat.user_email, seat.user_id, seat.role, seat.is_paid, seat.plan,
    seat.monthly_price_usd
  FROM seat
  JOIN seat_month
    ON seat_month.holder = seat.holder AND seat_month.last_held_date = seat.usage_date
), active_day AS (
  -- What the vendor says of the day, and events of the person: a robot's are nobody's activity.
  SELECT DISTINCT COALESCE(day.user_email, known_id.holder, day.user_id) AS holder, day.usage_date
  FROM ai_usage.int_cursor_activity_daily AS day
  LEFT JOIN known_id ON known_id.user_id = day.user_id
  WHERE day.is_active
  UNION DISTINCT
  SELECT user_email, usage_date
  FROM ai_usage.int_cursor_usage_daily
  WHERE principal_type IN ('user', 'cloud_agent') AND user_email IS NOT NULL
), active_window AS (
  SELECT
    calendar.month,
    active_day.holder,
    COUNTIF(active_day.usage_date >= calendar.month) AS active_days,
    COUNTIF(active_day.usage_date >= calendar.first_of_30_date) AS active_days_30d,
    MAX(active_day.usage_date) AS last_active_date
  FROM calendar
  JOIN active_day ON active_day.usage_date BETWEEN calendar.first_of_window_date AND calendar.through_date
  GROUP BY calendar.month, active_day.holder
), active_before AS (
  -- The last activity of each month, for months without any.
  SELECT DATE_TRUNC(active_day.usage_date, MONTH) AS month, active_day.holder, MAX(active_day.usage_date) AS last_active_date
  FROM active_day
  JOIN calendar ON calendar.month = DATE_TRUNC(active_day.usage_date, MONTH)
  WHERE active_day.usage_date <= calendar.through_date
  GROUP BY DATE_TRUNC(active_day.usage_date, MONTH), active_day.holder
), seen AS (
  SELECT
    month,
    holder,
    MAX(last_active_date) OVER (PARTITION BY holder ORDER BY month ROWS UNBOUNDED PRECEDING) AS last_active_date,
    MIN(first_held_date) OVER (PARTITION BY holder) AS first_held_date
  FROM (
    SELECT month, holder, MAX(last_active_date) AS last_active_date, MIN(first_held_date) AS first_held_date
    FROM (
      SELECT month, holder, last_active_date, CAST(NULL AS DATE) AS first_held_date FROM active_before
      UNION ALL
      SELECT month, holder, CAST(NULL AS DATE), first_day_of_month FROM seat_month
    )
    GROUP BY month, holder
  )
), activity_held AS (
  SELECT
    calendar.month,
    COUNT(*) AS known_days,
    COUNTIF(entry.usage_date >= calendar.first_of_30_date) AS known_days_30d,
    COUNTIF(entry.usage_date > DATE_SUB(calendar.through_date, INTERVAL 7 DAY)) AS known_days_7d
  FROM calendar
  JOIN ai_usage.ops_asset_days AS entry
    ON entry.usage_date BETWEEN calendar.first_of_window_date AND calendar.through_date
  WHERE entry.asset = 'raw_cursor_daily_usage' AND entry.completed_at IS NOT NULL
  GROUP BY calendar.month
), events_held AS (
  SELECT DISTINCT DATE_TRUNC(usage_date, MONTH) AS month
  FROM ai_usage.ops_asset_days
  WHERE asset = 'raw_cursor_usage_events' AND completed_at IS NOT NULL
), usage AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    user_email AS holder,
    SUM(CASE WHEN cost_basis = 'included' THEN amount_usd END) AS included_usd,
    SUM(CASE WHEN cost_basis = 'billed' THEN amount_usd END) AS billed_usd
  FROM ai_usage.int_cursor_usage_daily
  WHERE user_email IS NOT NULL AND service_account_id IS NULL
  GROUP BY DATE_TRUNC(usage_date, MONTH), user_email
), spend_limit AS (
  SELECT snapshot_date, holder, limit_usd, on_demand_usd
  FROM ai_usage.int_cursor_limit_monthly
), known_name AS (
  SELECT person_email, name
  FROM ai_usage.dim_person
  QUALIFY ROW_NUMBER() OVER (PARTITION BY person_email ORDER BY effective_from DESC) = 1
), provisional AS (
  SELECT DATE_TRUNC(usage_date, MONTH) AS month, LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.int_settlement_daily
  WHERE vendor = 'cursor' AND usage_date < as_of_date
  GROUP BY DATE_TRUNC(usage_date, MONTH)
), joined AS (
  SELECT
    seat_month.*,
    calendar.through_date,
    calendar.as_of_date,
    seen.first_held_date,
    seen.last_active_date,
    COALESCE(active_window.active_days, 0) AS active_days,
    COALESCE(active_window.active_days_30d, 0) AS active_days_30d,
    active_window.holder IS NOT NULL AS is_active,
    COALESCE(activity_held.known_days, 0) AS known_days,
    COALESCE(activity_held.known_days_30d, 0) AS known_days_30d,
    COALESCE(activity_held.known_days_7d, 0) AS known_days_7d,
    COALESCE(paid_window.paid_days_30d, 0) AS paid_days_30d,
    CASE WHEN events_held.month IS NOT NULL THEN COALESCE(usage.included_usd, 0) ELSE usage.included_usd END AS included_usage_usd,
    CASE WHEN events_held.month IS NOT NULL THEN COALESCE(usage.billed_usd, 0) ELSE usage.billed_usd END AS overage_usd
  FROM seat_month
  JOIN calendar ON calendar.month = seat_month.month
  JOIN seen ON seen.month = seat_month.month AND seen.holder = seat_month.holder
  LEFT JOIN active_window ON active_window.month = seat_month.month AND active_window.holder = seat_month.holder
  LEFT JOIN paid_window ON paid_window.month = seat_month.month AND paid_window.holder = seat_month.holder
  LEFT JOIN activity_held ON activity_held.month = seat_month.month
  LEFT JOIN events_held ON events_held.month = seat_month.month
  LEFT JOIN usage ON usage.month = seat_month.month AND usage.holder = seat_month.holder
), judged AS (
  SELECT
    *,
    CASE
      WHEN is_active THEN 'active'
      WHEN known_days = 0 THEN 'unknown'
      WHEN last_active_date IS NULL THEN 'never_used'
      ELSE 'idle'
    END AS status
  FROM joined
)
SELECT
  judged.month,
  judged.through_date,
  'cursor' AS vendor,
  who.person_email,
  last_seat.user_email,
  last_seat.user_id,
  known_name.name,
  who.team,
  who.cost_center,
  last_seat.role,
  judged.held_days,
  judged.inferred_days,
  judged.first_held_date,
  judged.last_held_date,
  last_seat.is_paid,
  last_seat.plan,
  last_seat.monthly_price_usd,
  judged.seat_usd,
  judged.unpriced_days,
  CASE WHEN judged.active_days > 0 OR judged.known_days > 0 THEN judged.active_days END AS active_days,
  judged.last_active_date,
  CASE
    WHEN judged.last_active_date > DATE_SUB(judged.through_date, INTERVAL 7 DAY) THEN TRUE
    WHEN judged.known_days_7d > 0 THEN FALSE
  END AS is_active_7d,
  CASE WHEN judged.active_days_30d > 0 THEN TRUE WHEN judged.known_days_30d > 0 THEN FALSE END AS is_active_30d,
  30 - judged.known_days_30d AS unknown_days_30d,
  judged.status,
  CASE
    WHEN judged.status IN ('idle', 'never_used') THEN judged.seat_usd
    WHEN judged.status = 'active' AND judged.seat_usd IS NOT NULL THEN NUMERIC '0'
  END AS idle_usd,
  judged.paid_days_30d = 30 AND judged.known_days_30d = 30 AND judged.active_days_30d = 0 AS is_reclaimable,
  judged.included_usage_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(judged.included_usage_usd, judged.seat_usd) AS NUMERIC), 6) AS NUMERIC) AS leverage_ratio,
  judged.overage_usd,
  spend_limit.limit_usd,
  CASE WHEN spend_limit.limit_usd IS NOT NULL THEN spend_limit.on_demand_usd END AS limit_spent_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(spend_limit.on_demand_usd, spend_limit.limit_usd) AS NUMERIC), 6) AS NUMERIC) AS limit_used_ratio,
  SAFE_DIVIDE(spend_limit.on_demand_usd, spend_limit.limit_usd) >= NUMERIC '0.8' AS is_near_limit,
  CASE WHEN spend_limit.limit_usd IS NOT NULL THEN spend_limit.snapshot_date END AS limit_as_of_date,
  provisional.is_provisional,
  judged.as_of_date
FROM judged
JOIN last_seat ON last_seat.holder = judged.holder AND last_seat.usage_date = judged.last_held_date
LEFT JOIN ai_usage.bridge_attribution_daily AS who
  ON who.usage_date = last_seat.usage_date AND who.identity_key = last_seat.identity_key AND who.part_no = 1
LEFT JOIN known_name ON known_name.person_email = who.person_email
LEFT JOIN spend_limit
  ON DATE_TRUNC(spend_limit.snapshot_date, MONTH) = judged.month AND spend_limit.holder = judged.holder
LEFT JOIN provisional ON provisional.month = judged.month
