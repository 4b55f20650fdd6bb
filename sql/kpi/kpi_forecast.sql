CREATE OR REPLACE VIEW ai_usage.kpi_forecast (
  month OPTIONS (description = "First day of the running month."),
  vendor OPTIONS (description = "anthropic or cursor."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated."),
  cost_basis OPTIONS (description = "billed = owed on top of seats; seat = seat fees. Spend is both rows together."),
  spent_to_date_usd OPTIONS (description = "Dollars of the month's finished days that are held whole; NULL when none is."),
  expected_rest_usd OPTIONS (description = "Dollars expected of every other day of the month: those to come, and those that are missing; NULL when nothing says. A spike is a day like any other: 40 % of it is expected again on each such weekday, a week later 30 %, then 20 and 10, and low and high, which are from past months, are no wider for it; kpi_anomaly names it."),
  forecast_usd OPTIONS (description = "Dollars at the month's end: both together."),
  low_usd OPTIONS (description = "Dollars at the month's end if the rest falls as far short as it did at worst at this time of the month in the 12 months before; NULL with fewer than 3 such months, and when credits outweigh what is expected."),
  high_usd OPTIONS (description = "The same for the rest exceeding it by the most. Lows and highs of several rows do not add up to those of their sum: see kpi_forecast_total."),
  method OPTIONS (description = "same_weekday (mean of each weekday in the last four weeks), mean_of_days (a weekday has fewer than two days to go by), held_seats (the seats of the latest day); NULL without a forecast."),
  days_used OPTIONS (description = "Days the expectation goes by."),
  missing_days OPTIONS (description = "Finished days of the month that are not held whole: estimated, never counted as zero."),
  is_provisional OPTIONS (description = "Whether the vendor may still restate a day of what is spent to date."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date, and the forecast made: days before it are used.")
)
OPTIONS (description = "What the running month will cost at its end, by vendor, cost center and basis: what its days held whole have cost, and for every other day what the same weekday cost in the last four weeks (newer weeks count more), or what the seats held today cost. Low and high are the widest misses of the same method at the same time of month in the last year. kpi_forecast_backtest says how good it has been.")
AS
SELECT
  month,
  vendor,
  cost_center,
  cost_basis,
  spent_to_date_usd,
  expected_rest_usd,
  forecast_usd,
  low_usd,
  high_usd,
  method,
  days_used,
  missing_days,
  is_provisional,
  as_of_date
FROM ai_usage.int_forecast_origin
WHERE is_live AND scope = 'line'
