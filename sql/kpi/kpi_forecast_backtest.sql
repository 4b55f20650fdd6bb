CREATE OR REPLACE VIEW ai_usage.kpi_forecast_backtest (
  month OPTIONS (description = "First day of a past month."),
  origin_date OPTIONS (description = "The day on which it would have been said: only days before it are used."),
  origin_day OPTIONS (description = "Its day of the month: 5, 10 or 20."),
  scope OPTIONS (description = "line (vendor, cost center and basis), cost_center (both vendors, billed and seat) or total. Never add rows of different scopes."),
  vendor OPTIONS (description = "anthropic or cursor; NULL where the scope holds both."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated, and NULL in the total."),
  cost_basis OPTIONS (description = "billed or seat; NULL where the scope holds both."),
  spent_to_date_usd OPTIONS (description = "Dollars of the month's days before the origin; NULL when none is held whole."),
  forecast_usd OPTIONS (description = "Dollars it would have forecast for the month's end; NULL for who had not spent before."),
  low_usd OPTIONS (description = "Low it would have given, from the months before; NULL with fewer than 3 of them."),
  high_usd OPTIONS (description = "High it would have given."),
  actual_usd OPTIONS (description = "Dollars the month came to; NULL unless all of its days are held whole."),
  error_usd OPTIONS (description = "Forecast less actual: above 0 = too much was forecast."),
  error_ratio OPTIONS (description = "The same as a share of the actual: 0.10 = 10 % too much; NULL without an actual, or when it was 0."),
  is_within OPTIONS (description = "Whether the actual lay between low and high, to the cent; NULL without them."),
  naive_usd OPTIONS (description = "What a straight line would have said: dollars to date over their days, times the days of the month."),
  naive_error_ratio OPTIONS (description = "Error of the straight line as a share of the actual."),
  is_better OPTIONS (description = "Whether the forecast was nearer than the straight line, or as near; NULL when either is unknown."),
  is_provisional OPTIONS (description = "Whether a vendor may still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date.")
)
OPTIONS (description = "How good the forecast has been: what it would have said on the 5th, 10th and 20th of each past month from the days before alone, and what the month came to, beside a straight line. The definition is the one kpi_forecast uses today. Vendors restate days, and the sheet is edited: the past is judged by the figures of today.")
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
