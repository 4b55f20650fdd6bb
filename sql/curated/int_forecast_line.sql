CREATE TABLE IF NOT EXISTS ai_usage.int_forecast_line (
  origin_date DATE NOT NULL OPTIONS (description = "Day on which the forecast is made."),
  month DATE NOT NULL OPTIONS (description = "First day of the month that is forecast."),
  days_in_month INT64 NOT NULL OPTIONS (description = "Number of days of that month."),
  day_of_month INT64 NOT NULL OPTIONS (description = "Day of the month of the origin."),
  is_live BOOL NOT NULL OPTIONS (description = "Whether the origin is today."),
  as_of_date DATE NOT NULL OPTIONS (description = "UTC day of the last run."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_center STRING OPTIONS (description = "Cost center; NULL = unallocated."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or seat."),
  known_days INT64 OPTIONS (description = "Number of days of the month that were known at the origin."),
  spent_to_date_usd NUMERIC OPTIONS (description = "US dollars of the known days; NULL without any."),
  expected_rest_usd NUMERIC OPTIONS (description = "US dollars expected for the other days; NULL when nothing is known."),
  actual_usd NUMERIC OPTIONS (description = "US dollars of the whole month; NULL until all of its days are loaded."),
  method STRING NOT NULL OPTIONS (description = "same_weekday, mean_of_days or current_seats."),
  days_used INT64 OPTIONS (description = "Number of days that the expectation uses."),
  missing_days INT64 OPTIONS (description = "Number of days before the origin that are not loaded."),
  is_provisional BOOL OPTIONS (description = "Whether the vendor can still restate a day that is used."),
  has_started BOOL OPTIONS (description = "Whether the line had spend before the origin.")
)
PARTITION BY origin_date
CLUSTER BY vendor, cost_center
OPTIONS (description = "Second stage of the forecast: what each origin expects for each line, which is a vendor, cost center and cost basis.")
AS
WITH origin AS (
  SELECT usage_date AS origin_date, month, days_in_month, day_of_month, TRUE AS is_live, as_of_date
  FROM ai_usage.dim_date
  WHERE usage_date = as_of_date
  UNION ALL
  SELECT usage_date, month, days_in_month, day_of_month, FALSE, as_of_date
  FROM ai_usage.dim_date
  WHERE day_of_month IN (5, 10, 20) AND month < DATE_TRUNC(as_of_date, MONTH)
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
), latest AS (
  SELECT origin_date, vendor, MAX(usage_date) AS usage_date
  FROM ai_usage.int_forecast_day AS origin_day
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
  FROM ai_usage.int_forecast_day AS origin_day
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
  FROM ai_usage.int_forecast_day AS origin_day
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
)
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
