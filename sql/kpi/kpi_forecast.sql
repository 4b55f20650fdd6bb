CREATE OR REPLACE VIEW ai_usage.kpi_forecast (
  month OPTIONS (description = "First day of the current month."),
  vendor OPTIONS (description = "Vendor."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated."),
  cost_basis OPTIONS (description = "billed: owed on top of seats. seat: seat fees. Spend is the sum of both rows."),
  spent_to_date_usd OPTIONS (description = "US dollars of the complete days of the month; NULL when there are none."),
  expected_rest_usd OPTIONS (description = "US dollars expected for all other days of the month, future and missing ones; NULL when there is nothing to estimate from. An anomaly counts like any other day: 40% of it is expected again on the same weekday, a week later 30%, then 20% and 10%, and the bounds do not widen. kpi_anomaly lists it."),
  forecast_usd OPTIONS (description = "Forecast for the month: spent_to_date_usd + expected_rest_usd."),
  low_usd OPTIONS (description = "Lower bound: the rest falls short by the largest ratio seen at this time of the month in the 12 months before. NULL with fewer than 3 such months, or when credits exceed the expected rest."),
  high_usd OPTIONS (description = "Upper bound: the rest exceeds the expectation by the largest ratio seen. Do not add the bounds of several rows; see kpi_forecast_total."),
  method OPTIONS (description = "same_weekday (mean of each weekday in the last four weeks), mean_of_days (a weekday has fewer than two samples), current_seats (seats of the latest day); NULL without a forecast."),
  days_used OPTIONS (description = "Number of days on which the forecast is based."),
  missing_days OPTIONS (description = "Number of finished days of the month that are not complete. They are estimated, not counted as zero."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the spend to date."),
  as_of_date OPTIONS (description = "UTC day of the last run and of the forecast; only earlier days are used.")
)
OPTIONS (description = "Forecast of the current month by vendor, cost center and cost basis. Complete days count as they are; every other day is estimated from the same weekday of the last four weeks (later weeks count more), seats from the current seats. The bounds are the largest errors of the same method at the same time of the month in the last year. kpi_forecast_backtest has its past accuracy.")
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
