CREATE OR REPLACE VIEW ai_usage.kpi_forecast_total (
  month OPTIONS (description = "First day of the current month."),
  spent_to_date_usd OPTIONS (description = "Billed and seat US dollars of the complete days of the month, all vendors; NULL when there are none."),
  expected_rest_usd OPTIONS (description = "US dollars expected for all other days of the month; NULL when there is nothing to estimate from."),
  forecast_usd OPTIONS (description = "Forecast for the month: the sum of kpi_forecast."),
  low_usd OPTIONS (description = "Lower bound: the rest falls short by the largest ratio seen at this time of the month in the 12 months before. NULL with fewer than 3 such months, or when credits exceed the expected rest."),
  high_usd OPTIONS (description = "Upper bound: the rest exceeds the expectation by the largest ratio seen."),
  missing_days OPTIONS (description = "Number of finished days of the month that are not complete: the largest number of any vendor."),
  is_provisional OPTIONS (description = "Whether a vendor can still restate a day of the spend to date."),
  as_of_date OPTIONS (description = "UTC day of the last run and of the forecast.")
)
OPTIONS (description = "Forecast of the current month for the company in one row: billed and seats of all vendors, with bounds that are narrower than those of its parts.")
AS
SELECT
  month,
  spent_to_date_usd,
  expected_rest_usd,
  forecast_usd,
  low_usd,
  high_usd,
  missing_days,
  is_provisional,
  as_of_date
FROM ai_usage.int_forecast_origin
WHERE is_live AND scope = 'total'
