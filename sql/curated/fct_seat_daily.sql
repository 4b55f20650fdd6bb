CREATE OR REPLACE VIEW ai_usage.fct_seat_daily (
  usage_date OPTIONS (description = "UTC day."),
  fact_no OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key OPTIONS (description = "Everything by which the row can be attributed, as one text; joins bridge_attribution_daily."),
  vendor OPTIONS (description = "cursor. Anthropic's APIs do not say who holds a seat."),
  user_id OPTIONS (description = "Member's id."),
  user_email OPTIONS (description = "Member's e-mail."),
  role OPTIONS (description = "Role; NULL when the first snapshot no longer lists the member."),
  source OPTIONS (description = "What says so: snapshot (of that day), earlier_snapshot, or daily_usage (before the first snapshot)."),
  is_paid OPTIONS (description = "Whether the seat is paid: not removed and not a free-owner."),
  plan OPTIONS (description = "Plan of the price; NULL when no price or several could apply."),
  monthly_price_usd OPTIONS (description = "Price of the seat per month; NULL when unknown, never 0."),
  amount_usd OPTIONS (description = "Cost of the day; NULL when the price is unknown.")
)
OPTIONS (description = "Who held a Cursor seat on which day, and what the day of the seat costs: the monthly price of the sheet spread over the days of the month. An edited price reprices history at once.")
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
  -- The quotient rounded half up at nine decimals in whole numbers: exact in every engine.
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
