CREATE TABLE IF NOT EXISTS ai_usage.dim_seat_day (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Everything by which the row can be attributed, as one text; joins dim_attribution_daily."),
  vendor STRING NOT NULL OPTIONS (description = "cursor. Anthropic's APIs do not say who holds a seat."),
  user_id STRING OPTIONS (description = "Member's id."),
  user_email STRING OPTIONS (description = "Member's e-mail."),
  role STRING OPTIONS (description = "Role; NULL when the first snapshot no longer lists the member."),
  source STRING NOT NULL OPTIONS (description = "What says so: snapshot (of that day), earlier_snapshot, or daily_usage (before the first snapshot)."),
  is_paid BOOL NOT NULL OPTIONS (description = "Whether the seat is paid: not removed and not a free-owner."),
  plan STRING OPTIONS (description = "Plan of the price; NULL when no price or several could apply."),
  monthly_price_usd NUMERIC OPTIONS (description = "Price of the seat per month; NULL when unknown, never 0."),
  amount_usd NUMERIC OPTIONS (description = "Cost of the day; NULL when the price is unknown.")
)
PARTITION BY usage_date
CLUSTER BY identity_key
OPTIONS (description = "Who held a Cursor seat on which day, and what the day of the seat costs: the monthly price spread over the days of the month.")
AS
WITH day AS (
  SELECT usage_date
  FROM UNNEST(GENERATE_DATE_ARRAY(@start_day, @end_day)) AS usage_date
), snapshot AS (
  SELECT DISTINCT snapshot_date
  FROM ai_usage.stg_cursor_members
  WHERE snapshot_date BETWEEN @first_day AND @today
), basis AS (
  SELECT day.usage_date, MAX(snapshot.snapshot_date) AS snapshot_date
  FROM day
  LEFT JOIN snapshot ON snapshot.snapshot_date <= day.usage_date
  GROUP BY day.usage_date
), first_snapshot AS (
  SELECT member.user_id, member.email, member.role
  FROM ai_usage.stg_cursor_members AS member
  JOIN (SELECT MIN(snapshot_date) AS snapshot_date FROM snapshot) AS earliest
    ON earliest.snapshot_date = member.snapshot_date
  WHERE member.snapshot_date BETWEEN @first_day AND @today
), holder AS (
  SELECT
    basis.usage_date,
    member.user_id,
    member.email AS user_email,
    member.role,
    CASE WHEN basis.snapshot_date = basis.usage_date THEN 'snapshot' ELSE 'earlier_snapshot' END AS source,
    NOT member.is_removed AND COALESCE(member.role, '') <> 'free-owner' AS is_paid
  FROM basis
  JOIN ai_usage.stg_cursor_members AS member ON member.snapshot_date = basis.snapshot_date
  WHERE member.snapshot_date BETWEEN @first_day AND @today
  UNION ALL
  SELECT DISTINCT
    basis.usage_date,
    COALESCE(by_email.user_id, by_id.user_id, usage.user_id) AS user_id,
    COALESCE(usage.email, by_id.email) AS user_email,
    COALESCE(by_email.role, by_id.role) AS role,
    'daily_usage' AS source,
    COALESCE(by_email.role, by_id.role, '') <> 'free-owner' AS is_paid
  FROM basis
  JOIN ai_usage.stg_cursor_daily_usage AS usage ON usage.usage_date = basis.usage_date
  LEFT JOIN first_snapshot AS by_email ON by_email.email = usage.email
  LEFT JOIN first_snapshot AS by_id ON by_id.user_id = usage.user_id
  WHERE basis.snapshot_date IS NULL AND usage.usage_date BETWEEN @start_day AND @end_day
), tier AS (
  SELECT user_id, email, billing_tier
  FROM ai_usage.stg_cursor_spend
  WHERE snapshot_date BETWEEN @first_day AND @today AND billing_tier IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY user_id, email ORDER BY snapshot_date DESC, billing_tier) = 1
), price AS (
  SELECT
    day.usage_date,
    seat.plan,
    seat.monthly_price_usd,
    COUNT(*) OVER (PARTITION BY day.usage_date) AS plans
  FROM day
  JOIN ai_usage.stg_seat_prices AS seat
    ON seat.vendor = 'cursor' AND day.usage_date >= seat.effective_from AND day.usage_date < seat.effective_to
), priced AS (
  SELECT
    holder.*,
    price.plan,
    price.monthly_price_usd
  FROM holder
  LEFT JOIN tier ON tier.user_id = holder.user_id AND tier.email = holder.user_email
  LEFT JOIN price
    ON price.usage_date = holder.usage_date
    AND holder.is_paid
    AND (price.plans = 1 OR LOWER(price.plan) = LOWER(tier.billing_tier))
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (
    PARTITION BY usage_date ORDER BY user_email NULLS FIRST, user_id NULLS FIRST, plan NULLS FIRST
  ) AS fact_no,
  CONCAT('seat|', IFNULL(user_email, ''), '|', IFNULL(user_id, '')) AS identity_key,
  'cursor' AS vendor,
  user_id,
  user_email,
  role,
  source,
  is_paid,
  plan,
  monthly_price_usd,
  CAST(SAFE_DIVIDE(monthly_price_usd, EXTRACT(DAY FROM LAST_DAY(usage_date, MONTH))) AS NUMERIC) AS amount_usd
FROM priced
