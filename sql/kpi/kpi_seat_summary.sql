CREATE OR REPLACE VIEW ai_usage.kpi_seat_summary (
  month OPTIONS (description = "First day of the month."),
  through_date OPTIONS (description = "Last finished day of the month; the current month is month to date."),
  vendor OPTIONS (description = "Vendor; only vendors that list their seats."),
  paid_seats OPTIONS (description = "Number of seats that were paid on their last day of the month, including seats that were given back. Every count below refers to these."),
  open_seats OPTIONS (description = "Number of these seats that still exist on through_date."),
  active_seats OPTIONS (description = "Number of seats with activity in the month or in the 30 days up to through_date."),
  idle_seats OPTIONS (description = "Number of seats that were used earlier, but not in that period."),
  never_used_seats OPTIONS (description = "Number of seats without any loaded activity."),
  unknown_seats OPTIONS (description = "Number of seats without a known status, because the vendor's daily usage is not exposed."),
  utilization_ratio OPTIONS (description = "Active seats divided by the seats with a known status: 0.90 = 90%."),
  reclaimable_seats OPTIONS (description = "Number of seats on the reclaim list: paid and unused on each of the 30 days up to through_date."),
  reclaimable_usd OPTIONS (description = "US dollars per month of the reclaimable seats; NULL when no price is known."),
  seat_usd OPTIONS (description = "Seat fees of the month in US dollars, of all seats; NULL when no price is known."),
  unpriced_days OPTIONS (description = "Number of paid seat-days without a known price; seat_usd does not include them."),
  idle_usd OPTIONS (description = "Seat fees of idle and never used seats in US dollars; NULL when none is known."),
  idle_ratio OPTIONS (description = "idle_usd divided by seat_usd."),
  included_usage_usd OPTIONS (description = "Usage of all members that seats or the pool cover, in US dollars at vendor rates. Not part of the spend."),
  leverage_ratio OPTIONS (description = "included_usage_usd divided by seat_usd; NULL when either is unknown."),
  overage_usd OPTIONS (description = "US dollars billed for the members' usage on top of the seats."),
  near_limit_seats OPTIONS (description = "Number of members who had spent 80% or more of their on-demand limit in the last spend snapshot of the month; NULL when no limit is known."),
  inferred_days OPTIONS (description = "Number of seat-days before the first members snapshot, inferred from the vendor's daily usage. Members whom the vendor has since removed are missing on these days."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Seats per month and vendor: paid, used, idle and reclaimable. The sum of kpi_seat_utilization, which has the members and the definitions.")
AS
SELECT
  month,
  MAX(through_date) AS through_date,
  vendor,
  COUNTIF(is_paid) AS paid_seats,
  COUNTIF(is_paid AND last_seat_date = through_date) AS open_seats,
  COUNTIF(is_paid AND status = 'active') AS active_seats,
  COUNTIF(is_paid AND status = 'idle') AS idle_seats,
  COUNTIF(is_paid AND status = 'never_used') AS never_used_seats,
  COUNTIF(is_paid AND status = 'unknown') AS unknown_seats,
  CAST(ROUND(CAST(SAFE_DIVIDE(
    COUNTIF(is_paid AND status = 'active'), COUNTIF(is_paid AND status <> 'unknown')
  ) AS NUMERIC), 6) AS NUMERIC) AS utilization_ratio,
  COUNTIF(is_reclaimable) AS reclaimable_seats,
  CASE
    WHEN COUNTIF(is_reclaimable) = 0 THEN NUMERIC '0' ELSE SUM(CASE WHEN is_reclaimable THEN monthly_price_usd END)
  END AS reclaimable_usd,
  SUM(seat_usd) AS seat_usd,
  CAST(SUM(unpriced_days) AS INT64) AS unpriced_days,
  SUM(idle_usd) AS idle_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(SUM(idle_usd), SUM(seat_usd)) AS NUMERIC), 6) AS NUMERIC) AS idle_ratio,
  SUM(included_usage_usd) AS included_usage_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(SUM(included_usage_usd), SUM(seat_usd)) AS NUMERIC), 6) AS NUMERIC) AS leverage_ratio,
  SUM(overage_usd) AS overage_usd,
  CASE WHEN COUNTIF(is_near_limit IS NOT NULL) > 0 THEN COUNTIF(is_near_limit) END AS near_limit_seats,
  CAST(SUM(inferred_days) AS INT64) AS inferred_days,
  LOGICAL_OR(is_provisional) AS is_provisional,
  MAX(as_of_date) AS as_of_date
FROM ai_usage.kpi_seat_utilization
GROUP BY month, vendor
