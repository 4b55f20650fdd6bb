CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_user (
  user_id STRING NOT NULL OPTIONS (description = "Id of the user."),
  email STRING OPTIONS (description = "E-mail as last seen."),
  name STRING OPTIONS (description = "Name as last listed by the directory."),
  is_member BOOL NOT NULL OPTIONS (description = "Whether the latest directory snapshot lists the user."),
  last_seen_on DATE NOT NULL OPTIONS (description = "Last UTC day on which the directory or a bill listed the user.")
)
OPTIONS (description = "Anthropic users with the e-mail and name last seen under their id, including users who have left.")
AS
WITH directory AS (
  SELECT snapshot_date AS seen_on, user_id, email, name, 0 AS source_no
  FROM ai_usage.stg_anthropic_users
  WHERE snapshot_date BETWEEN @first_day AND @today
), billed_users AS (
  SELECT MAX(usage_date) AS seen_on, principal_id AS user_id, user_email AS email, CAST(NULL AS STRING) AS name, 1 AS source_no
  FROM ai_usage.int_anthropic_cost_daily
  WHERE usage_date BETWEEN @first_day AND @today AND principal_type = 'user' AND user_email IS NOT NULL
  GROUP BY principal_id, user_email
), sightings AS (
  SELECT * FROM directory
  UNION ALL
  SELECT * FROM billed_users
), latest_name AS (
  SELECT user_id, name
  FROM directory
  WHERE name IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY seen_on DESC, name) = 1
), latest_snapshot AS (
  SELECT MAX(seen_on) AS seen_on
  FROM directory
), latest AS (
  SELECT *
  FROM sightings
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY user_id ORDER BY CASE WHEN email IS NULL THEN 1 ELSE 0 END, seen_on DESC, source_no, email
  ) = 1
), last_seen AS (
  SELECT
    user_id,
    MAX(sightings.seen_on) AS last_seen_on,
    LOGICAL_OR(source_no = 0 AND sightings.seen_on = latest_snapshot.seen_on) AS is_member
  FROM sightings
  CROSS JOIN latest_snapshot
  GROUP BY user_id
)
SELECT
  latest.user_id,
  latest.email,
  latest_name.name,
  COALESCE(last_seen.is_member, FALSE) AS is_member,
  last_seen.last_seen_on
FROM latest
JOIN last_seen ON last_seen.user_id = latest.user_id
LEFT JOIN latest_name ON latest_name.user_id = latest.user_id
