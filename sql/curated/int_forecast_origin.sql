CREATE OR REPLACE VIEW ai_usage.int_forecast_origin (
  origin_date OPTIONS (description = "UTC day on which the forecast is made. Only earlier days are used."),
  origin_day OPTIONS (description = "Day of the month whose past errors give the range of the forecast: 5 up to the 7th, 10 up to the 14th, 20 after that."),
  month OPTIONS (description = "First day of the forecast month."),
  is_live OPTIONS (description = "TRUE: made today for the current month. FALSE: what the method would have forecast in a past month."),
  scope OPTIONS (description = "line (vendor, cost center and cost basis), cost_center (all vendors, billed and seat) or total. Never add rows of different scopes."),
  vendor OPTIONS (description = "Vendor; NULL when the scope covers all vendors."),
  cost_center OPTIONS (description = "Cost center on the day of the spend; NULL = unallocated, and NULL in the total."),
  cost_basis OPTIONS (description = "billed or seat; NULL when the scope covers both."),
  spent_to_date_usd OPTIONS (description = "US dollars of the complete days of the month before the origin; NULL when there are none."),
  expected_rest_usd OPTIONS (description = "US dollars expected for all other days of the month, including days that are not complete; NULL when there is nothing to estimate from."),
  forecast_usd OPTIONS (description = "Forecast for the month: spent_to_date_usd + expected_rest_usd."),
  low_usd OPTIONS (description = "Lower bound: the rest falls short by the largest ratio seen on the same origin day of the 12 months before. NULL with fewer than 3 such months, or when credits exceed the expected rest."),
  high_usd OPTIONS (description = "Upper bound: the rest exceeds the expectation by the largest ratio seen."),
  naive_usd OPTIONS (description = "Linear extrapolation for comparison: dollars to date divided by their days, times the days of the month."),
  actual_usd OPTIONS (description = "Actual US dollars of the month; NULL unless the month is over and all of its days are complete."),
  method OPTIONS (description = "same_weekday, mean_of_days (a weekday has fewer than 2 samples), current_seats, or mixed when the scope covers several; NULL without a forecast."),
  days_used OPTIONS (description = "Number of days on which the forecast is based: complete days of the last 28 since the first spend of the line; 1 for seats."),
  missing_days OPTIONS (description = "Number of days of the month before the origin that are not complete; for several vendors the largest of their numbers."),
  is_provisional OPTIONS (description = "Whether a vendor can still restate a day that the row includes."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Forecast of the month's total, for today and for the 5th, 10th and 20th of each past month. The forecast of the current month and the backtest use the same definition. Billed: complete days count as they are; every other day is the weighted mean of its weekday in the last four weeks, where the latest week counts four times as much as the earliest (the mean of all days when there are fewer than two such weekdays). Seats: the paid seats of the latest day at the sheet's prices. A day that is not complete never counts as zero. Past months use the current figures, not the figures that were loaded at that time. Read kpi_forecast and kpi_forecast_backtest.")
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
), daily_spend AS (
  SELECT cost.usage_date, cost.vendor, cost.cost_center, cost.cost_basis, SUM(cost.amount_usd) AS amount_usd
  FROM ai_usage.fct_cost_daily AS cost
  WHERE cost.cost_basis IN ('billed', 'seat') AND cost.amount_usd IS NOT NULL
  GROUP BY cost.usage_date, cost.vendor, cost.cost_center, cost.cost_basis
), line AS (
  SELECT vendor, cost_center, cost_basis, MIN(usage_date) AS first_day
  FROM daily_spend
  GROUP BY vendor, cost_center, cost_basis
), seat_price AS (
  -- Monthly cost of a day's seats, to apply price changes that the sheet already contains.
  SELECT vendor, usage_date, plan, COUNT(*) AS seats, MAX(monthly_price_usd) AS monthly_price_usd
  FROM ai_usage.fct_seat_daily
  WHERE is_paid AND monthly_price_usd IS NOT NULL
  GROUP BY vendor, usage_date, plan
), origin_day AS (
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
  CROSS JOIN (SELECT DISTINCT vendor, cost_basis FROM line) AS source
  LEFT JOIN ai_usage.int_settlement_daily AS settlement
    ON settlement.usage_date = day.usage_date AND settlement.vendor = source.vendor
  LEFT JOIN loaded_day
    ON loaded_day.vendor = source.vendor AND loaded_day.cost_basis = source.cost_basis AND loaded_day.usage_date = day.usage_date
), latest AS (
  SELECT origin_date, vendor, MAX(usage_date) AS usage_date
  FROM origin_day
  WHERE is_known AND cost_basis = 'seat'
  GROUP BY origin_date, vendor
), price_change AS (
  SELECT
    origin_day.origin_date,
    origin_day.vendor,
    origin_day.usage_date,
    CAST(ROUND(CAST(SAFE_DIVIDE(
      SUM(seat_price.seats * price.monthly_price_usd),
      SUM(seat_price.seats * seat_price.monthly_price_usd)
    ) AS NUMERIC), 6) AS NUMERIC) AS price_ratio
  FROM origin_day
  JOIN latest ON latest.origin_date = origin_day.origin_date AND latest.vendor = origin_day.vendor
  JOIN seat_price ON seat_price.vendor = latest.vendor AND seat_price.usage_date = latest.usage_date
  JOIN ai_usage.stg_seat_prices AS price
    ON price.vendor = origin_day.vendor
    AND LOWER(price.plan) = LOWER(seat_price.plan)
    AND origin_day.usage_date >= price.effective_from
    AND origin_day.usage_date < price.effective_to
  WHERE origin_day.cost_basis = 'seat' AND origin_day.is_in_month AND NOT origin_day.is_known
  GROUP BY origin_day.origin_date, origin_day.vendor, origin_day.usage_date
), line_day AS (
  SELECT
    origin_day.*,
    line.cost_center,
    line.first_day,
    daily_spend.amount_usd,
    origin_day.is_known AND origin_day.usage_date >= line.first_day AS is_sample,
    -- Spikes are not capped: every cap that was tested on the simulated year increased the error, because growth
    -- begins like a spike.
    4 - DIV(origin_day.age - 1, 7) AS weight
  FROM origin_day
  JOIN line
    ON line.vendor = origin_day.vendor
    AND line.cost_basis = origin_day.cost_basis
    AND line.first_day <= LAST_DAY(origin_day.month, MONTH)
  LEFT JOIN daily_spend
    ON daily_spend.vendor = line.vendor
    AND daily_spend.cost_basis = line.cost_basis
    AND COALESCE(daily_spend.cost_center, '') = COALESCE(line.cost_center, '')
    AND daily_spend.usage_date = origin_day.usage_date
), by_weekday AS (
  SELECT
    origin_date,
    vendor,
    cost_center,
    cost_basis,
    MOD(age + 70, 7) AS weekday,
    MIN(first_day) AS first_day,
    COUNT(amount_usd) AS spending_days,
    COUNTIF(is_in_month) AS calendar_days,
    COUNTIF(is_in_month AND NOT is_loaded) AS days_not_loaded,
    COUNTIF(is_in_month AND is_known) AS known_days,
    COUNTIF(is_in_month AND NOT is_known) AS open_days,
    COUNTIF(is_in_month AND NOT is_known AND age > 0) AS missing_days,
    SUM(CASE WHEN is_in_month AND is_known THEN amount_usd END) AS known_usd,
    SUM(CASE WHEN is_in_month THEN amount_usd END) AS month_usd,
    COUNTIF(is_sample AND age <= 28) AS samples,
    SUM(CASE WHEN is_sample AND age <= 28 THEN weight END) AS weights,
    SUM(CASE WHEN is_sample AND age <= 28 THEN weight * COALESCE(amount_usd, 0) END) AS weighted_usd,
    LOGICAL_OR(is_in_month AND is_provisional_day AND (is_known OR (is_loaded AND NOT is_live))) AS is_provisional
  FROM line_day
  GROUP BY origin_date, vendor, cost_center, cost_basis, MOD(age + 70, 7)
), billed_rest AS (
  SELECT
    *,
    -- Cast to a decimal before rounding, so that all engines round halves alike.
    CAST(ROUND(CAST(CASE
      WHEN samples >= 2 THEN SAFE_DIVIDE(weighted_usd, weights)
      ELSE SAFE_DIVIDE(
        SUM(weighted_usd) OVER (PARTITION BY origin_date, vendor, cost_center, cost_basis),
        SUM(weights) OVER (PARTITION BY origin_date, vendor, cost_center, cost_basis)
      )
    END AS NUMERIC), 6) AS NUMERIC) AS usd_per_day
  FROM by_weekday
), seat_rest AS (
  SELECT
    open_day.origin_date,
    open_day.vendor,
    open_day.cost_center,
    SUM(CAST(ROUND(CAST(SAFE_DIVIDE(
      COALESCE(seat.amount_usd, 0) * COALESCE(price_change.price_ratio, NUMERIC '1') * seat.days_in_own_month,
      open_day.days_in_month
    ) AS NUMERIC), 6) AS NUMERIC)) AS expected_usd
  FROM line_day AS open_day
  JOIN latest ON latest.origin_date = open_day.origin_date AND latest.vendor = open_day.vendor
  JOIN line_day AS seat
    ON seat.origin_date = open_day.origin_date
    AND seat.vendor = open_day.vendor
    AND seat.cost_basis = 'seat'
    AND COALESCE(seat.cost_center, '') = COALESCE(open_day.cost_center, '')
    AND seat.usage_date = latest.usage_date
  LEFT JOIN price_change
    ON price_change.origin_date = open_day.origin_date
    AND price_change.vendor = open_day.vendor
    AND price_change.usage_date = open_day.usage_date
  WHERE open_day.cost_basis = 'seat' AND open_day.is_in_month AND NOT open_day.is_known
  GROUP BY open_day.origin_date, open_day.vendor, open_day.cost_center
), by_line AS (
  SELECT
    origin_date,
    vendor,
    cost_center,
    cost_basis,
    MIN(first_day) AS first_day,
    SUM(spending_days) AS spending_days,
    SUM(calendar_days) AS calendar_days,
    SUM(days_not_loaded) AS days_not_loaded,
    SUM(known_days) AS known_days,
    SUM(open_days) AS open_days,
    SUM(missing_days) AS missing_days,
    CASE WHEN SUM(known_days) > 0 THEN COALESCE(SUM(known_usd), 0) END AS spent_to_date_usd,
    COALESCE(SUM(month_usd), 0) AS month_usd,
    SUM(samples) AS samples,
    LOGICAL_OR(open_days > 0 AND samples < 2) AS is_by_all_days,
    CASE WHEN SUM(samples) > 0 THEN SUM(open_days * usd_per_day) END AS expected_usd,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM billed_rest
  GROUP BY origin_date, vendor, cost_center, cost_basis
), line_forecast AS (
  SELECT
    origin.origin_date,
    origin.month,
    origin.days_in_month,
    origin.day_of_month,
    origin.is_live,
    origin.as_of_date,
    by_line.vendor,
    by_line.cost_center,
    by_line.cost_basis,
    by_line.known_days,
    by_line.spent_to_date_usd,
    CASE
      WHEN by_line.open_days = 0 THEN 0
      WHEN by_line.cost_basis = 'billed' THEN by_line.expected_usd
      WHEN by_line.first_day < origin.origin_date THEN seat_rest.expected_usd
    END AS expected_rest_usd,
    CASE
      WHEN NOT origin.is_live AND by_line.days_not_loaded = 0 AND by_line.calendar_days = origin.days_in_month
        THEN by_line.month_usd
    END AS actual_usd,
    CASE
      WHEN by_line.cost_basis = 'seat' THEN 'current_seats'
      WHEN by_line.is_by_all_days THEN 'mean_of_days'
      ELSE 'same_weekday'
    END AS method,
    CASE WHEN by_line.cost_basis = 'billed' THEN by_line.samples WHEN latest.usage_date IS NULL THEN 0 ELSE 1 END AS days_used,
    by_line.missing_days,
    by_line.is_provisional,
    by_line.first_day < origin.origin_date AS has_started
  FROM by_line
  JOIN origin ON origin.origin_date = by_line.origin_date
  LEFT JOIN seat_rest
    ON by_line.cost_basis = 'seat'
    AND seat_rest.origin_date = by_line.origin_date
    AND seat_rest.vendor = by_line.vendor
    AND COALESCE(seat_rest.cost_center, '') = COALESCE(by_line.cost_center, '')
  LEFT JOIN latest
    ON by_line.cost_basis = 'seat' AND latest.origin_date = by_line.origin_date AND latest.vendor = by_line.vendor
  -- A line without spend for a month is dropped, unless its days are not loaded.
  WHERE by_line.spending_days > 0 OR by_line.samples = 0
), scoped_line AS (
  SELECT 'line' AS scope, vendor AS scope_vendor, cost_center AS scope_cost_center, cost_basis AS scope_basis, *
  FROM line_forecast
  UNION ALL
  SELECT 'cost_center', CAST(NULL AS STRING), cost_center, CAST(NULL AS STRING), *
  FROM line_forecast
  UNION ALL
  SELECT 'total', CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), *
  FROM line_forecast
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
