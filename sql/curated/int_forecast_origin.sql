CREATE TABLE IF NOT EXISTS ai_usage.int_forecast_origin (
  origin_date DATE NOT NULL OPTIONS (description = "UTC day on which the forecast is made. Only earlier days are used."),
  origin_day INT64 NOT NULL OPTIONS (description = "Day of the month whose past errors give the range of the forecast: 5 up to the 7th, 10 up to the 14th, 20 after that."),
  month DATE NOT NULL OPTIONS (description = "First day of the forecast month."),
  is_live BOOL NOT NULL OPTIONS (description = "TRUE: made today for the current month. FALSE: what the method would have forecast in a past month."),
  scope STRING NOT NULL OPTIONS (description = "line (vendor, cost center and cost basis), cost_center (all vendors, billed and seat) or total. Never add rows of different scopes."),
  vendor STRING OPTIONS (description = "Vendor; NULL when the scope covers all vendors."),
  cost_center STRING OPTIONS (description = "Cost center on the day of the spend; NULL = unallocated, and NULL in the total."),
  cost_basis STRING OPTIONS (description = "billed or seat; NULL when the scope covers both."),
  spent_to_date_usd NUMERIC OPTIONS (description = "US dollars of the complete days of the month before the origin; NULL when there are none."),
  expected_rest_usd NUMERIC OPTIONS (description = "US dollars expected for all other days of the month, including days that are not complete; NULL when there is nothing to estimate from."),
  forecast_usd NUMERIC OPTIONS (description = "Forecast for the month: spent_to_date_usd + expected_rest_usd."),
  low_usd NUMERIC OPTIONS (description = "Lower bound: the rest falls short by the largest ratio seen on the same origin day of the 12 months before. NULL with fewer than 3 such months, or when credits exceed the expected rest."),
  high_usd NUMERIC OPTIONS (description = "Upper bound: the rest exceeds the expectation by the largest ratio seen."),
  naive_usd NUMERIC OPTIONS (description = "Linear extrapolation for comparison: dollars to date divided by their days, times the days of the month."),
  actual_usd NUMERIC OPTIONS (description = "Actual US dollars of the month; NULL unless the month is over and all of its days are complete."),
  method STRING OPTIONS (description = "same_weekday, mean_of_days (a weekday has fewer than 2 samples), current_seats, or mixed when the scope covers several; NULL without a forecast."),
  days_used INT64 OPTIONS (description = "Number of days on which the forecast is based: complete days of the last 28 since the first spend of the line; 1 for seats."),
  missing_days INT64 OPTIONS (description = "Number of days of the month before the origin that are not complete; for several vendors the largest of their numbers."),
  is_provisional BOOL OPTIONS (description = "Whether a vendor can still restate a day that the row includes."),
  as_of_date DATE OPTIONS (description = "UTC day of the last run.")
)
PARTITION BY origin_date
CLUSTER BY scope, vendor, cost_center
OPTIONS (description = "Forecast of the month's total, for today and for the 5th, 10th and 20th of each past month. The forecast of the current month and the backtest use the same definition. Billed: complete days count as they are; every other day is the weighted mean of its weekday in the last four weeks, where the latest week counts four times as much as the earliest (the mean of all days when there are fewer than two such weekdays). Seats: the paid seats of the latest day at the sheet's prices. A day that is not complete never counts as zero. Past months use the current figures, not the figures that were loaded at that time. Read kpi_forecast and kpi_forecast_backtest.")
AS
WITH scoped_line AS (
  SELECT 'line' AS scope, vendor AS scope_vendor, cost_center AS scope_cost_center, cost_basis AS scope_basis, *
  FROM ai_usage.int_forecast_line
  UNION ALL
  SELECT 'cost_center', CAST(NULL AS STRING), cost_center, CAST(NULL AS STRING), *
  FROM ai_usage.int_forecast_line
  UNION ALL
  SELECT 'total', CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), *
  FROM ai_usage.int_forecast_line
), forecast AS (
  SELECT
    origin_date,
    CAST(CASE WHEN day_of_month < 8 THEN 5 WHEN day_of_month < 15 THEN 10 ELSE 20 END AS INT64) AS origin_day,
    month,
    is_live,
    scope,
    scope_vendor AS vendor,
    scope_cost_center AS cost_center,
    scope_basis AS cost_basis,
    SUM(spent_to_date_usd) AS spent_to_date_usd,
    -- A line that starts later could not be known; a line whose days are not loaded has no expectation.
    CASE WHEN COUNTIF(has_started AND expected_rest_usd IS NULL) = 0 THEN SUM(expected_rest_usd) END AS expected_rest_usd,
    SUM(CAST(ROUND(CAST(SAFE_DIVIDE(spent_to_date_usd * days_in_month, known_days) AS NUMERIC), 6) AS NUMERIC)) AS naive_usd,
    CASE WHEN COUNTIF(actual_usd IS NULL) = 0 THEN SUM(actual_usd) END AS actual_usd,
    CASE WHEN COUNT(DISTINCT method) = 1 THEN MAX(method) ELSE 'mixed' END AS method,
    CAST(MAX(days_used) AS INT64) AS days_used,
    CAST(MAX(missing_days) AS INT64) AS missing_days,
    LOGICAL_OR(is_provisional) AS is_provisional,
    MAX(as_of_date) AS as_of_date
  FROM scoped_line
  GROUP BY origin_date, day_of_month, month, is_live, scope, scope_vendor, scope_cost_center, scope_basis
), past_error AS (
  -- Actual rest of a past month divided by its expected rest.
  SELECT
    scope,
    COALESCE(vendor, '') AS vendor,
    COALESCE(cost_center, '') AS cost_center,
    COALESCE(cost_basis, '') AS cost_basis,
    origin_day,
    month,
    CAST(ROUND(CAST(SAFE_DIVIDE(actual_usd - COALESCE(spent_to_date_usd, 0), expected_rest_usd) AS NUMERIC), 6) AS NUMERIC) AS rest_ratio
  FROM forecast
  WHERE NOT is_live AND expected_rest_usd > 0 AND actual_usd IS NOT NULL
), bounds AS (
  SELECT
    forecast.origin_date,
    forecast.scope,
    past_error.vendor,
    past_error.cost_center,
    past_error.cost_basis,
    LEAST(MIN(past_error.rest_ratio), 1) AS low_ratio,
    GREATEST(MAX(past_error.rest_ratio), 1) AS high_ratio
  FROM forecast
  JOIN past_error
    ON past_error.scope = forecast.scope
    AND past_error.vendor = COALESCE(forecast.vendor, '')
    AND past_error.cost_center = COALESCE(forecast.cost_center, '')
    AND past_error.cost_basis = COALESCE(forecast.cost_basis, '')
    AND past_error.origin_day = forecast.origin_day
    AND past_error.month < forecast.month
    AND past_error.month >= DATE_SUB(forecast.month, INTERVAL 12 MONTH)
  GROUP BY forecast.origin_date, forecast.scope, past_error.vendor, past_error.cost_center, past_error.cost_basis
  HAVING COUNT(*) >= 3
)
SELECT
  forecast.origin_date,
  forecast.origin_day,
  forecast.month,
  forecast.is_live,
  forecast.scope,
  forecast.vendor,
  forecast.cost_center,
  forecast.cost_basis,
  forecast.spent_to_date_usd,
  forecast.expected_rest_usd,
  COALESCE(forecast.spent_to_date_usd, 0) + forecast.expected_rest_usd AS forecast_usd,
  -- Only the expected rest is scaled and rounded: the spend to date stays exact, and the forecast is between the bounds.
  CASE
    WHEN forecast.expected_rest_usd >= 0 AND bounds.low_ratio IS NOT NULL THEN COALESCE(forecast.spent_to_date_usd, 0) + LEAST(
      CAST(ROUND(CAST(forecast.expected_rest_usd * bounds.low_ratio AS NUMERIC), 6) AS NUMERIC), forecast.expected_rest_usd
    )
  END AS low_usd,
  CASE
    WHEN forecast.expected_rest_usd >= 0 AND bounds.high_ratio IS NOT NULL THEN COALESCE(forecast.spent_to_date_usd, 0) + GREATEST(
      CAST(ROUND(CAST(forecast.expected_rest_usd * bounds.high_ratio AS NUMERIC), 6) AS NUMERIC), forecast.expected_rest_usd
    )
  END AS high_usd,
  forecast.naive_usd,
  forecast.actual_usd,
  CASE WHEN forecast.expected_rest_usd IS NOT NULL THEN forecast.method END AS method,
  forecast.days_used,
  forecast.missing_days,
  forecast.is_provisional,
  forecast.as_of_date
FROM forecast
LEFT JOIN bounds
  ON bounds.origin_date = forecast.origin_date
  AND bounds.scope = forecast.scope
  AND bounds.vendor = COALESCE(forecast.vendor, '')
  AND bounds.cost_center = COALESCE(forecast.cost_center, '')
  AND bounds.cost_basis = COALESCE(forecast.cost_basis, '')
