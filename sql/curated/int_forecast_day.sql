CREATE TABLE IF NOT EXISTS ai_usage.int_forecast_day (
  origin_date DATE NOT NULL OPTIONS (description = "Day on which the forecast is made: today, or a day of a past month."),
  month DATE NOT NULL OPTIONS (description = "First day of the month that is forecast."),
  days_in_month INT64 NOT NULL OPTIONS (description = "Number of days of that month."),
  is_live BOOL NOT NULL OPTIONS (description = "Whether the origin is today."),
  as_of_date DATE NOT NULL OPTIONS (description = "UTC day of the last run."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or seat."),
  usage_date DATE NOT NULL OPTIONS (description = "UTC day of the month, or of the 28 days before the origin."),
  days_in_own_month INT64 NOT NULL OPTIONS (description = "Number of days of the month of the day."),
  age INT64 NOT NULL OPTIONS (description = "Number of days before the origin; below zero after it."),
  is_in_month BOOL NOT NULL OPTIONS (description = "Whether the day is in the month that is forecast."),
  is_loaded BOOL NOT NULL OPTIONS (description = "Whether the cost of the day is loaded."),
  is_known BOOL NOT NULL OPTIONS (description = "Whether the cost of the day was known at the origin."),
  is_provisional_day BOOL OPTIONS (description = "Whether the vendor can still restate the day.")
)
PARTITION BY origin_date
CLUSTER BY vendor, cost_basis
OPTIONS (description = "First stage of the forecast: the days that each origin looks at, by vendor and cost basis, and which of them are known.")
AS
WITH origin AS (
  SELECT usage_date AS origin_date, month, days_in_month, day_of_month, TRUE AS is_live, as_of_date
  FROM ai_usage.dim_date
  WHERE usage_date = as_of_date
  UNION ALL
  SELECT usage_date, month, days_in_month, day_of_month, FALSE, as_of_date
  FROM ai_usage.dim_date
  WHERE day_of_month IN (5, 10, 20) AND month < DATE_TRUNC(as_of_date, MONTH)
), loaded_day AS (
  SELECT vendor, 'billed' AS cost_basis, usage_date
  FROM ai_usage.kpi_completeness
  -- A day whose last attempt failed keeps the data of an earlier one.
  WHERE is_bill AND completed_at IS NOT NULL
  UNION ALL
  SELECT vendor, 'seat', usage_date
  FROM ai_usage.fct_seat_daily
  GROUP BY vendor, usage_date
  -- The cost of seats without a price is unknown, not zero.
  HAVING COUNTIF(is_paid) = 0 OR COUNT(amount_usd) > 0
), spend_basis AS (
  SELECT DISTINCT vendor, cost_basis
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis IN ('billed', 'seat') AND amount_usd IS NOT NULL
)
SELECT
  origin.origin_date,
  origin.month,
  origin.days_in_month,
  origin.is_live,
  origin.as_of_date,
  source.vendor,
  source.cost_basis,
  day.usage_date,
  day.days_in_month AS days_in_own_month,
  DATE_DIFF(origin.origin_date, day.usage_date, DAY) AS age,
  day.month = origin.month AS is_in_month,
  loaded_day.usage_date IS NOT NULL AS is_loaded,
  loaded_day.usage_date IS NOT NULL AND day.usage_date < origin.origin_date AS is_known,
  settlement.is_provisional AS is_provisional_day
FROM origin
JOIN ai_usage.dim_date AS day
  ON day.usage_date >= LEAST(DATE_SUB(origin.origin_date, INTERVAL 28 DAY), origin.month)
  AND day.usage_date <= LAST_DAY(origin.month, MONTH)
CROSS JOIN spend_basis AS source
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = day.usage_date AND settlement.vendor = source.vendor
LEFT JOIN loaded_day
  ON loaded_day.vendor = source.vendor AND loaded_day.cost_basis = source.cost_basis AND loaded_day.usage_date = day.usage_date
