CREATE TABLE IF NOT EXISTS ai_usage.int_cursor_seat_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  user_id STRING OPTIONS (description = "Id of the member."),
  user_email STRING OPTIONS (description = "E-mail of the member."),
  role STRING OPTIONS (description = "Role of the member; NULL when the first snapshot no longer lists the member."),
  source STRING NOT NULL OPTIONS (description = "Where the seat is taken from: snapshot (of that day), earlier_snapshot, or daily_usage (before the first snapshot)."),
  is_paid BOOL NOT NULL OPTIONS (description = "Whether the seat is paid: the member is not removed and is not a free-owner."),
  billing_tier STRING OPTIONS (description = "Seat tier of the day, or of the nearest earlier snapshot, or of the first snapshot; NULL when Cursor does not report it.")
)
PARTITION BY usage_date
CLUSTER BY identity_key
OPTIONS (description = "Members of the Cursor team on each day, and whether their seats are paid. fct_seat_daily has the cost.")
AS
WITH calendar_day AS (
  SELECT usage_date
  FROM UNNEST(GENERATE_DATE_ARRAY(@start_day, @end_day)) AS usage_date
), snapshot AS (
  SELECT DISTINCT snapshot_date
  FROM ai_usage.stg_cursor_members
  WHERE snapshot_date BETWEEN @first_day AND @today
), snapshot_for_day AS (
  SELECT calendar_day.usage_date, MAX(snapshot.snapshot_date) AS snapshot_date
  FROM calendar_day
  LEFT JOIN snapshot ON snapshot.snapshot_date <= calendar_day.usage_date
  GROUP BY calendar_day.usage_date
), first_snapshot AS (
  SELECT member.user_id, member.email, member.role, member.is_removed
  FROM ai_usage.stg_cursor_members AS member
  JOIN (SELECT MIN(snapshot_date) AS snapshot_date FROM snapshot) AS earliest
    ON earliest.snapshot_date = member.snapshot_date
  WHERE member.snapshot_date BETWEEN @first_day AND @today
), by_email AS (
  -- A member who was removed and came back is listed twice and has one seat.
  SELECT email, user_id, role
  FROM first_snapshot
  WHERE email IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY email ORDER BY is_removed, user_id) = 1
), by_id AS (
  SELECT user_id, email, role
  FROM first_snapshot
  WHERE user_id IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY is_removed, email) = 1
), member_seat AS (
  SELECT
    snapshot_for_day.usage_date,
    member.user_id,
    member.email AS user_email,
    member.role,
    CASE WHEN snapshot_for_day.snapshot_date = snapshot_for_day.usage_date THEN 'snapshot' ELSE 'earlier_snapshot' END AS source,
    NOT member.is_removed AND COALESCE(member.role, '') <> 'free-owner' AS is_paid
  FROM snapshot_for_day
  JOIN ai_usage.stg_cursor_members AS member ON member.snapshot_date = snapshot_for_day.snapshot_date
  WHERE member.snapshot_date BETWEEN @first_day AND @today
  UNION ALL
  SELECT DISTINCT
    snapshot_for_day.usage_date,
    COALESCE(by_email.user_id, by_id.user_id, usage.user_id) AS user_id,
    COALESCE(usage.email, by_id.email) AS user_email,
    COALESCE(by_email.role, by_id.role) AS role,
    'daily_usage' AS source,
    COALESCE(by_email.role, by_id.role, '') <> 'free-owner' AS is_paid
  FROM snapshot_for_day
  JOIN ai_usage.stg_cursor_daily_usage AS usage ON usage.usage_date = snapshot_for_day.usage_date
  LEFT JOIN by_email ON by_email.email = usage.email
  LEFT JOIN by_id ON by_id.user_id = usage.user_id
  WHERE snapshot_for_day.snapshot_date IS NULL AND usage.usage_date BETWEEN @start_day AND @end_day
), member_day AS (
  -- One seat per member, by e-mail or else by id; the list can contain a member twice.
  SELECT *
  FROM member_seat
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY usage_date, COALESCE(user_email, user_id) ORDER BY CASE WHEN is_paid THEN 0 ELSE 1 END, user_id, role
  ) = 1
), tier AS (
  SELECT calendar_day.usage_date, spend.email, spend.billing_tier
  FROM calendar_day
  CROSS JOIN ai_usage.stg_cursor_spend AS spend
  WHERE spend.snapshot_date BETWEEN @first_day AND @today AND spend.billing_tier IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY calendar_day.usage_date, spend.email
    ORDER BY
      CASE WHEN spend.snapshot_date <= calendar_day.usage_date THEN 0 ELSE 1 END,
      ABS(DATE_DIFF(calendar_day.usage_date, spend.snapshot_date, DAY)),
      spend.billing_tier
  ) = 1
), identified AS (
  SELECT
    member_day.*,
    tier.billing_tier,
    CONCAT('seat|', IFNULL(REPLACE(REPLACE(member_day.user_email, '%', '%25'), '|', '%7C'), ''), '|', IFNULL(REPLACE(REPLACE(member_day.user_id, '%', '%25'), '|', '%7C'), '')) AS identity_key
  FROM member_day
  LEFT JOIN tier ON tier.usage_date = member_day.usage_date AND tier.email = member_day.user_email
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (PARTITION BY usage_date ORDER BY identity_key, role NULLS FIRST) AS fact_no,
  identity_key,
  user_id,
  user_email,
  role,
  source,
  is_paid,
  billing_tier
FROM identified
