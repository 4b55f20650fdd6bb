CREATE OR REPLACE VIEW ai_usage.kpi_spend_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "Vendor."),
  team OPTIONS (description = "Team on that day; NULL when it is not known."),
  cost_center OPTIONS (description = "Cost center on that day; NULL = unallocated."),
  billed_usd OPTIONS (description = "US dollars owed on top of seats; NULL when there are none."),
  seat_usd OPTIONS (description = "Seat fees of the day in US dollars; NULL when there are none, or when no price is known."),
  spend_usd OPTIONS (description = "Billed and seat US dollars."),
  included_usd OPTIONS (description = "Usage that a seat or pool covers, in US dollars at vendor rates. Not part of the spend."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate the day."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Spend per day, vendor, team and cost center. A day without rows has no data; kpi_completeness has the reason.")
AS
SELECT
  cost.usage_date,
  cost.vendor,
  cost.team,
  cost.cost_center,
  SUM(CASE WHEN cost.cost_basis = 'billed' THEN cost.amount_usd END) AS billed_usd,
  SUM(CASE WHEN cost.cost_basis = 'seat' THEN cost.amount_usd END) AS seat_usd,
  COALESCE(SUM(CASE WHEN cost.cost_basis <> 'included' THEN cost.amount_usd END), 0) AS spend_usd,
  SUM(CASE WHEN cost.cost_basis = 'included' THEN cost.amount_usd END) AS included_usd,
  LOGICAL_OR(cost.is_provisional) AS is_provisional,
  MAX(day.as_of_date) AS as_of_date
FROM ai_usage.fct_cost_daily AS cost
LEFT JOIN ai_usage.dim_date AS day ON day.usage_date = cost.usage_date
GROUP BY cost.usage_date, cost.vendor, cost.team, cost.cost_center
