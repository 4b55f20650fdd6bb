CREATE TABLE IF NOT EXISTS ai_usage.fct_seat_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor; only vendors that list their seats."),
  user_id STRING OPTIONS (description = "Id of the member."),
  user_email STRING OPTIONS (description = "E-mail of the member."),
  role STRING OPTIONS (description = "Role of the member; NULL when the first snapshot no longer lists the member."),
  source STRING NOT NULL OPTIONS (description = "Where the seat is taken from: snapshot (of that day), earlier_snapshot, or daily_usage (before the first snapshot)."),
  is_paid BOOL NOT NULL OPTIONS (description = "Whether the seat is paid: the member is not removed and is not a free-owner."),
  plan STRING OPTIONS (description = "Plan of the price; NULL when no price or more than one price applies."),
  monthly_price_usd NUMERIC OPTIONS (description = "Price of the seat per month in US dollars; NULL when it is not known."),
  amount_usd NUMERIC OPTIONS (description = "Cost of the day in US dollars; NULL when the price is not known.")
)
PARTITION BY usage_date
CLUSTER BY vendor, user_email
OPTIONS (description = "Seats per day and member, with their cost: the monthly price of the sheet divided by the days of the month. An edited price changes the cost of past days.")
AS
WITH seat_day AS (
  SELECT DISTINCT vendor, usage_date
  FROM ai_usage.int_seat_daily
), seat AS (
  SELECT *, EXTRACT(DAY FROM LAST_DAY(usage_date, MONTH)) AS days_in_month
  FROM ai_usage.int_seat_daily
), price AS (
  SELECT
    seat_day.vendor,
    seat_day.usage_date,
    seat_price.plan,
    seat_price.monthly_price_usd,
    COUNT(*) OVER (PARTITION BY seat_day.vendor, seat_day.usage_date) AS plans
  FROM seat_day
  JOIN ai_usage.stg_seat_prices AS seat_price
    ON seat_price.vendor = seat_day.vendor
    AND seat_day.usage_date >= seat_price.effective_from
    AND seat_day.usage_date < seat_price.effective_to
)
SELECT
  seat.usage_date,
  seat.fact_no,
  seat.identity_key,
  seat.vendor,
  seat.user_id,
  seat.user_email,
  seat.role,
  seat.source,
  seat.is_paid,
  price.plan,
  price.monthly_price_usd,
  -- The price divided by the days, rounded half up at nine decimals with integer arithmetic: equal in all engines.
  CAST(
    CAST(DIV(CAST(price.monthly_price_usd * 2000000000 AS INT64) + seat.days_in_month, seat.days_in_month * 2) AS NUMERIC)
    * NUMERIC '0.000000001' AS NUMERIC
  ) AS amount_usd
FROM seat
LEFT JOIN price
  ON price.vendor = seat.vendor
  AND price.usage_date = seat.usage_date
  AND seat.is_paid
  AND (price.plans = 1 OR LOWER(price.plan) = LOWER(seat.billing_tier))
