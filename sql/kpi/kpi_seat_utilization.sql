CREATE OR REPLACE VIEW ai_usage.kpi_seat_utilization (
  month OPTIONS (description = "First day of the month."),
  through_date OPTIONS (description = "Last finished day of the month; the current month is month to date. All columns \"as of a day\" refer to it."),
  vendor OPTIONS (description = "Vendor; only vendors that list their seats."),
  person_email OPTIONS (description = "Person to whom the seat is attributed on its last day: the member, unless the sheet names another person."),
  user_email OPTIONS (description = "E-mail of the member at the vendor; NULL when the vendor does not report it."),
  user_id OPTIONS (description = "Vendor's id of the member."),
  name OPTIONS (description = "Name of the person from the people tab; NULL when the person is not in it."),
  team OPTIONS (description = "Team on the last day of the seat."),
  cost_center OPTIONS (description = "Cost center on the last day of the seat; NULL = unallocated."),
  role OPTIONS (description = "Role of the member at the vendor on the last day of the seat."),
  seat_days OPTIONS (description = "Number of finished days of the month on which the seat existed."),
  inferred_days OPTIONS (description = "Number of these days before the first members snapshot, inferred from the vendor's daily usage. Members whom the vendor has since removed and seats that were never assigned are not visible on them. 0 = all days come from snapshots."),
  first_seat_date OPTIONS (description = "First day on which the seat existed, in any loaded month."),
  last_seat_date OPTIONS (description = "Last day of the month on which the seat existed; earlier than through_date when it was given back."),
  is_paid OPTIONS (description = "Whether the seat was paid on its last day; the seat of a free-owner is not paid."),
  plan OPTIONS (description = "Plan of the price on the last day of the seat; NULL when no price or more than one price applies."),
  monthly_price_usd OPTIONS (description = "Price of the seat per month in US dollars on its last day; NULL when it is not known."),
  seat_usd OPTIONS (description = "Seat fees of the month in US dollars (cost basis seat); NULL when the price is not known or the seat is not paid."),
  unpriced_days OPTIONS (description = "Number of paid days without a known price; seat_usd does not include them."),
  active_days OPTIONS (description = "Number of days of the month with activity: reported by the vendor, or with usage events of the person. Usage of service accounts and automations does not count. NULL when activity is not exposed and there are no events."),
  last_active_date OPTIONS (description = "Last day with activity up to through_date, in any loaded month; NULL when there is none."),
  is_active_7d OPTIONS (description = "Whether there was activity in the 7 days up to through_date; NULL when it is not known."),
  is_active_30d OPTIONS (description = "Whether there was activity in the 30 days up to through_date; NULL when it is not known."),
  unknown_days_30d OPTIONS (description = "Number of the 30 days up to through_date without loaded daily usage."),
  status OPTIONS (description = "active: activity in the month or in the 30 days up to through_date. idle: only earlier activity. never_used: no loaded activity. unknown: no activity, and the vendor's daily usage of these days is not exposed."),
  idle_usd OPTIONS (description = "Seat fees of the month for an idle or never used seat in US dollars; 0 for an active one, NULL when the status or the price is not known."),
  is_reclaimable OPTIONS (description = "Whether the seat is on the reclaim list: paid on each of the 30 days up to through_date, and known to be unused on all of them."),
  included_usage_usd OPTIONS (description = "Usage of the member in the month that the seat or pool covers, in US dollars at vendor rates (cost basis included). Not part of the spend. NULL when usage events are not loaded."),
  leverage_ratio OPTIONS (description = "included_usage_usd divided by seat_usd: 2.0 = usage worth twice the fee. NULL when either is unknown."),
  overage_usd OPTIONS (description = "US dollars billed for the member's usage of the month on top of the seat (cost basis billed). NULL when usage events are not loaded."),
  limit_usd OPTIONS (description = "US dollars that the member may spend on demand in a billing cycle, from the last spend snapshot of the month; NULL when no limit is known."),
  limit_spent_usd OPTIONS (description = "US dollars spent on demand in the vendor's billing cycle (not the month) up to the snapshot."),
  limit_used_ratio OPTIONS (description = "limit_spent_usd divided by limit_usd: 0.80 = 80%."),
  is_near_limit OPTIONS (description = "Whether 80% or more of the limit is spent; NULL when no limit is known."),
  limit_as_of_date OPTIONS (description = "UTC day of that spend snapshot."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Seats per month and member: cost, activity, usage that the seat covers, overage, and whether the seat can be reclaimed. idle means no activity in the month and in the 30 days up to its last finished day; without the vendor's daily usage the status is unknown. seat_usd adds up to the seat fees of kpi_spend_monthly.")
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
  -- One holder per e-mail, even when the vendor lists it under several ids.
  SELECT *, COALESCE(user_email, user_id, 'unknown') AS holder
  FROM ai_usage.fct_seat_daily
  WHERE is_paid OR role = 'free-owner'
), known_id AS (
  SELECT vendor, user_id, MAX(holder) AS holder
  FROM seat
  WHERE user_id IS NOT NULL
  GROUP BY vendor, user_id
), seat_month AS (
  SELECT
    calendar.month,
    seat.vendor,
    seat.holder,
    COUNT(*) AS seat_days,
    COUNTIF(seat.source = 'daily_usage') AS inferred_days,
    MIN(seat.usage_date) AS first_day_of_month,
    MAX(seat.usage_date) AS last_seat_date,
    SUM(seat.amount_usd) AS seat_usd,
    COUNTIF(seat.is_paid AND seat.amount_usd IS NULL) AS unpriced_days
  FROM seat
  JOIN calendar ON calendar.month = DATE_TRUNC(seat.usage_date, MONTH)
  WHERE seat.usage_date <= calendar.through_date
  GROUP BY calendar.month, seat.vendor, seat.holder
), paid_window AS (
  SELECT calendar.month, seat.vendor, seat.holder, COUNT(*) AS paid_days_30d
  FROM calendar
  JOIN seat ON seat.usage_date BETWEEN calendar.first_of_30_date AND calendar.through_date
  WHERE seat.is_paid
  GROUP BY calendar.month, seat.vendor, seat.holder
), last_seat AS (
  SELECT
    seat.vendor, seat.holder, seat.usage_date, seat.identity_key, seat.user_email, seat.user_id, seat.role, seat.is_paid,
    seat.plan, seat.monthly_price_usd
  FROM seat
  JOIN seat_month
    ON seat_month.vendor = seat.vendor
    AND seat_month.holder = seat.holder
    AND seat_month.last_seat_date = seat.usage_date
), seat_usage AS (
  SELECT usage.*
  FROM ai_usage.int_usage_daily AS usage
  JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = usage.vendor AND vendor.has_seats
  WHERE usage.has_cost AND usage.user_email IS NOT NULL
), active_day AS (
  -- Activity that the vendor reports, and usage events of the person. Usage of service accounts and automations does not
  -- count.
  SELECT DISTINCT activity.vendor, COALESCE(activity.user_email, known_id.holder, activity.user_id) AS holder, activity.usage_date
  FROM ai_usage.int_activity_daily AS activity
  JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = activity.vendor AND vendor.has_seats
  LEFT JOIN known_id ON known_id.vendor = activity.vendor AND known_id.user_id = activity.user_id
  WHERE activity.is_active
  UNION DISTINCT
  SELECT vendor, user_email, usage_date
  FROM seat_usage
  WHERE principal_type IN ('user', 'cloud_agent')
), active_window AS (
  SELECT
    calendar.month,
    active_day.vendor,
    active_day.holder,
    COUNTIF(active_day.usage_date >= calendar.month) AS active_days,
    COUNTIF(active_day.usage_date >= calendar.first_of_30_date) AS active_days_30d,
    MAX(active_day.usage_date) AS last_active_date
  FROM calendar
  JOIN active_day ON active_day.usage_date BETWEEN calendar.first_of_window_date AND calendar.through_date
  GROUP BY calendar.month, active_day.vendor, active_day.holder
), active_before AS (
  -- The last activity of each month, for months without any.
  SELECT
    DATE_TRUNC(active_day.usage_date, MONTH) AS month, active_day.vendor, active_day.holder,
    MAX(active_day.usage_date) AS last_active_date
  FROM active_day
  JOIN calendar ON calendar.month = DATE_TRUNC(active_day.usage_date, MONTH)
  WHERE active_day.usage_date <= calendar.through_date
  GROUP BY DATE_TRUNC(active_day.usage_date, MONTH), active_day.vendor, active_day.holder
), seat_history AS (
  SELECT
    month,
    vendor,
    holder,
    MAX(last_active_date) OVER (PARTITION BY vendor, holder ORDER BY month ROWS UNBOUNDED PRECEDING) AS last_active_date,
    MIN(first_seat_date) OVER (PARTITION BY vendor, holder) AS first_seat_date
  FROM (
    SELECT month, vendor, holder, MAX(last_active_date) AS last_active_date, MIN(first_seat_date) AS first_seat_date
    FROM (
      SELECT month, vendor, holder, last_active_date, CAST(NULL AS DATE) AS first_seat_date FROM active_before
      UNION ALL
      SELECT month, vendor, holder, CAST(NULL AS DATE), first_day_of_month FROM seat_month
    )
    GROUP BY month, vendor, holder
  )
), loaded_activity AS (
  SELECT
    calendar.month,
    source.vendor,
    COUNT(*) AS known_days,
    COUNTIF(entry.usage_date >= calendar.first_of_30_date) AS known_days_30d,
    COUNTIF(entry.usage_date > DATE_SUB(calendar.through_date, INTERVAL 7 DAY)) AS known_days_7d
  FROM calendar
  JOIN ai_usage.ops_asset_days AS entry
    ON entry.usage_date BETWEEN calendar.first_of_window_date AND calendar.through_date
  JOIN ai_usage.dim_vendor AS source ON source.activity_asset = entry.asset
  WHERE entry.completed_at IS NOT NULL
  GROUP BY calendar.month, source.vendor
), loaded_usage AS (
  SELECT DISTINCT DATE_TRUNC(entry.usage_date, MONTH) AS month, vendor.vendor
  FROM ai_usage.ops_asset_days AS entry
  JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = entry.asset
  WHERE entry.completed_at IS NOT NULL
), usage AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    vendor,
    user_email AS holder,
    SUM(CASE WHEN cost_basis = 'included' THEN amount_usd END) AS included_usd,
    SUM(CASE WHEN cost_basis = 'billed' THEN amount_usd END) AS billed_usd
  FROM seat_usage
  WHERE service_account_id IS NULL
  GROUP BY DATE_TRUNC(usage_date, MONTH), vendor, user_email
), known_name AS (
  SELECT person_email, name
  FROM ai_usage.dim_person
  QUALIFY ROW_NUMBER() OVER (PARTITION BY person_email ORDER BY effective_from DESC) = 1
), provisional AS (
  SELECT DATE_TRUNC(usage_date, MONTH) AS month, vendor, LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.int_settlement_daily
  WHERE usage_date < as_of_date
  GROUP BY DATE_TRUNC(usage_date, MONTH), vendor
), joined AS (
  SELECT
    seat_month.*,
    calendar.through_date,
    calendar.as_of_date,
    seat_history.first_seat_date,
    seat_history.last_active_date,
    COALESCE(active_window.active_days, 0) AS active_days,
    COALESCE(active_window.active_days_30d, 0) AS active_days_30d,
    active_window.holder IS NOT NULL AS is_active,
    COALESCE(loaded_activity.known_days, 0) AS known_days,
    COALESCE(loaded_activity.known_days_30d, 0) AS known_days_30d,
    COALESCE(loaded_activity.known_days_7d, 0) AS known_days_7d,
    COALESCE(paid_window.paid_days_30d, 0) AS paid_days_30d,
    CASE WHEN loaded_usage.month IS NOT NULL THEN COALESCE(usage.included_usd, 0) ELSE usage.included_usd END AS included_usage_usd,
    CASE WHEN loaded_usage.month IS NOT NULL THEN COALESCE(usage.billed_usd, 0) ELSE usage.billed_usd END AS overage_usd
  FROM seat_month
  JOIN calendar ON calendar.month = seat_month.month
  JOIN seat_history
    ON seat_history.month = seat_month.month
    AND seat_history.vendor = seat_month.vendor
    AND seat_history.holder = seat_month.holder
  LEFT JOIN active_window
    ON active_window.month = seat_month.month
    AND active_window.vendor = seat_month.vendor
    AND active_window.holder = seat_month.holder
  LEFT JOIN paid_window
    ON paid_window.month = seat_month.month
    AND paid_window.vendor = seat_month.vendor
    AND paid_window.holder = seat_month.holder
  LEFT JOIN loaded_activity ON loaded_activity.month = seat_month.month AND loaded_activity.vendor = seat_month.vendor
  LEFT JOIN loaded_usage ON loaded_usage.month = seat_month.month AND loaded_usage.vendor = seat_month.vendor
  LEFT JOIN usage
    ON usage.month = seat_month.month AND usage.vendor = seat_month.vendor AND usage.holder = seat_month.holder
), classified AS (
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
  classified.month,
  classified.through_date,
  classified.vendor,
  attribution.person_email,
  last_seat.user_email,
  last_seat.user_id,
  known_name.name,
  attribution.team,
  attribution.cost_center,
  last_seat.role,
  classified.seat_days,
  classified.inferred_days,
  classified.first_seat_date,
  classified.last_seat_date,
  last_seat.is_paid,
  last_seat.plan,
  last_seat.monthly_price_usd,
  classified.seat_usd,
  classified.unpriced_days,
  CASE WHEN classified.active_days > 0 OR classified.known_days > 0 THEN classified.active_days END AS active_days,
  classified.last_active_date,
  CASE
    WHEN classified.last_active_date > DATE_SUB(classified.through_date, INTERVAL 7 DAY) THEN TRUE
    WHEN classified.known_days_7d > 0 THEN FALSE
  END AS is_active_7d,
  CASE WHEN classified.active_days_30d > 0 THEN TRUE WHEN classified.known_days_30d > 0 THEN FALSE END AS is_active_30d,
  30 - classified.known_days_30d AS unknown_days_30d,
  classified.status,
  CASE
    WHEN classified.status IN ('idle', 'never_used') THEN classified.seat_usd
    WHEN classified.status = 'active' AND classified.seat_usd IS NOT NULL THEN NUMERIC '0'
  END AS idle_usd,
  classified.paid_days_30d = 30 AND classified.known_days_30d = 30 AND classified.active_days_30d = 0 AS is_reclaimable,
  classified.included_usage_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(classified.included_usage_usd, classified.seat_usd) AS NUMERIC), 6) AS NUMERIC) AS leverage_ratio,
  classified.overage_usd,
  spend_limit.limit_usd,
  CASE WHEN spend_limit.limit_usd IS NOT NULL THEN spend_limit.on_demand_usd END AS limit_spent_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(spend_limit.on_demand_usd, spend_limit.limit_usd) AS NUMERIC), 6) AS NUMERIC) AS limit_used_ratio,
  SAFE_DIVIDE(spend_limit.on_demand_usd, spend_limit.limit_usd) >= NUMERIC '0.8' AS is_near_limit,
  CASE WHEN spend_limit.limit_usd IS NOT NULL THEN spend_limit.snapshot_date END AS limit_as_of_date,
  provisional.is_provisional,
  classified.as_of_date
FROM classified
JOIN last_seat
  ON last_seat.vendor = classified.vendor
  AND last_seat.holder = classified.holder
  AND last_seat.usage_date = classified.last_seat_date
LEFT JOIN ai_usage.bridge_attribution_daily AS attribution
  ON attribution.usage_date = last_seat.usage_date
  AND attribution.vendor = last_seat.vendor
  AND attribution.identity_key = last_seat.identity_key
  AND attribution.part_no = 1
LEFT JOIN known_name ON known_name.person_email = attribution.person_email
LEFT JOIN ai_usage.int_spend_limit_monthly AS spend_limit
  ON DATE_TRUNC(spend_limit.snapshot_date, MONTH) = classified.month
  AND spend_limit.vendor = classified.vendor
  AND spend_limit.holder = classified.holder
LEFT JOIN provisional ON provisional.month = classified.month AND provisional.vendor = classified.vendor
