CREATE OR REPLACE VIEW ai_usage.kpi_forecast_backtest (
  month OPTIONS (description = "First day of a past month."),
  origin_date OPTIONS (description = "Day of the simulated forecast; only earlier days are used."),
  origin_day OPTIONS (description = "Day of the month of the simulated forecast: 5, 10 or 20."),
  scope OPTIONS (description = "line (vendor, cost center and cost basis), cost_center (all vendors, billed and seat) or total. Never add rows of different scopes."),
  vendor OPTIONS (description = "Vendor; NULL when the scope covers all vendors."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated, and NULL in the total."),
  cost_basis OPTIONS (description = "billed or seat; NULL when the scope covers both."),
  spent_to_date_usd OPTIONS (description = "US dollars of the complete days of the month before the origin; NULL when there are none."),
  forecast_usd OPTIONS (description = "Forecast for the month; NULL for a line that had not spent before."),
  low_usd OPTIONS (description = "Lower bound, from the months before; NULL with fewer than 3 of them."),
  high_usd OPTIONS (description = "Upper bound."),
  actual_usd OPTIONS (description = "Actual US dollars of the month; NULL unless all of its days are complete."),
  error_usd OPTIONS (description = "Forecast minus actual; positive = the forecast was too high."),
  error_ratio OPTIONS (description = "Error divided by the actual: 0.10 = 10% too high; NULL without an actual, or when it is 0."),
  is_within OPTIONS (description = "Whether the actual is between the bounds, to the cent; NULL without bounds."),
  naive_usd OPTIONS (description = "Linear extrapolation: dollars to date divided by their days, times the days of the month."),
  naive_error_ratio OPTIONS (description = "Error of the linear extrapolation divided by the actual."),
  is_better OPTIONS (description = "Whether the forecast was at least as close as the linear extrapolation; NULL when either is unknown."),
  is_provisional OPTIONS (description = "Whether a vendor can still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Backtest of the forecast: what the method of kpi_forecast would have forecast on the 5th, 10th and 20th of each past month from earlier days only, compared with the actual and with a linear extrapolation. Past months use the current figures.")
AS
SELECT
  month,
  origin_date,
  origin_day,
  scope,
  vendor,
  cost_center,
  cost_basis,
  spent_to_date_usd,
  forecast_usd,
  low_usd,
  high_usd,
  actual_usd,
  forecast_usd - actual_usd AS error_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(forecast_usd - actual_usd, actual_usd) AS NUMERIC), 6) AS NUMERIC) AS error_ratio,
  ROUND(actual_usd, 2) BETWEEN ROUND(low_usd, 2) AND ROUND(high_usd, 2) AS is_within,
  naive_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(naive_usd - actual_usd, actual_usd) AS NUMERIC), 6) AS NUMERIC) AS naive_error_ratio,
  ABS(forecast_usd - actual_usd) <= ABS(naive_usd - actual_usd) AS is_better,
  is_provisional,
  as_of_date
FROM ai_usage.int_forecast_origin
WHERE NOT is_live
