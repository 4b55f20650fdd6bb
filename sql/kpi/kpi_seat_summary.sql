CREATE OR REPLACE VIEW ai_usage.kpi_seat_summary (
  month OPTIONS (description = "First day of the month."),
  through_date OPTIONS (description = "Last finished day of the month: a running month is month to date."),
  vendor OPTIONS (description = "cursor. Anthropic's APIs do not say who holds a seat."),
  paid_seats OPTIONS (description = "Seats paid for on their last day of the month, those given back within it among them. Every count below is of these."),
  open_seats OPTIONS (description = "Of these, seats still held on through_date."),
  active_seats OPTIONS (description = "Seats with activity in the month or in the 30 days up to through_date."),
  idle_seats OPTIONS (description = "Seats used earlier, but not then."),
  never_used_seats OPTIONS (description = "Seats without any activity in all that is loaded."),
  unknown_seats OPTIONS (description = "Seats of which nothing is known, because the vendor's daily usage is not exposed."),
  utilisation_ratio OPTIONS (description = "Active seats as a share of those of which something is known: 0.90 = 90 %."),
  reclaimable_seats OPTIONS (description = "Seats on the reclaim list: paid for and known to be unused on each of the 30 days up to through_date."),
  reclaimable_usd OPTIONS (description = "Dollars a month that giving these back would save; NULL when the price of none is known."),
  seat_usd OPTIONS (description = "Seat fees of the month in dollars, of every seat; NULL when no price is known."),
  unpriced_days OPTIONS (description = "Paid seat-days whose price is unknown and which the dollars lack."),
  idle_usd OPTIONS (description = "Of these, fees of idle and never used seats; NULL when none is known."),
  idle_ratio OPTIONS (description = "idle_usd as a share of seat_usd."),
  included_usage_usd OPTIONS (description = "Usage of all holders that seats or the pool cover, in dollars at vendor rates. Never part of the spend."),
  leverage_ratio OPTIONS (description = "included_usage_usd / seat_usd; NULL when either is unknown."),
  overage_usd OPTIONS (description = "Dollars billed for holders' usage on top of the seats."),
  near_limit_seats OPTIONS (description = "Holders who had spent 80 % of their on-demand limit or more in the month's last spend snapshot; NULL when no limit is known."),
  inferred_days OPTIONS (description = "Seat-days before the first members snapshot, told by the vendor's daily usage rows; seats that the vendor has since dropped cannot be seen there."),
  is_provisional OPTIONS (description = "Whether the vendor may still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date.")
)
OPTIONS (description = "Seats of a month in one row: held, used, idle in dollars, to be given back. The sum of kpi_seat_utilization, which has the people and the definitions.")
AS
SELECT
  month,
  MAX(through_date) AS through_date,
  vendor,
  COUNTIF(is_paid) AS paid_seats,
  COUNTIF(is_paid AND last_held_date = through_date) AS open_seats,
  COUNTIF(is_paid AND status = 'active') AS active_seats,
  COUNTIF(is_paid AND status = 'idle') AS idle_seats,
  COUNTIF(is_paid AND status = 'never_used') AS never_used_seats,
  COUNTIF(is_paid AND status = 'unknown') AS unknown_seats,
  CAST(ROUND(CAST(SAFE_DIVIDE(
    COUNTIF(is_paid AND status = 'active'), COUNTIF(is_paid AND status <> 'unknown')
  ) AS NUMERIC), 6) AS NUMERIC) AS utilisation_ratio,
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
