CREATE TABLE IF NOT EXISTS ai_usage.int_cursor_activity_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  user_email STRING OPTIONS (description = "E-mail of the member; NULL when Cursor does not send it."),
  user_id STRING OPTIONS (description = "Id of the member."),
  is_active BOOL NOT NULL OPTIONS (description = "Whether the member used Cursor on the day."),
  requests INT64 OPTIONS (description = "Number of agent, chat, composer and inline-edit requests."),
  lines_added INT64 OPTIONS (description = "Lines of code added."),
  lines_accepted INT64 OPTIONS (description = "Suggested lines that the member accepted.")
)
PARTITION BY usage_date
CLUSTER BY identity_key
OPTIONS (description = "Cursor activity per day and member, including idle members, before attribution.")
AS
WITH summed AS (
  SELECT
    usage_date,
    CONCAT('cursor||||', IFNULL(REPLACE(REPLACE(email, '%', '%25'), '|', '%7C'), '')) AS identity_key,
    email AS user_email,
    user_id,
    LOGICAL_OR(is_active) AS is_active,
    SUM(requests) AS requests,
    SUM(lines_added) AS lines_added,
    SUM(lines_accepted) AS lines_accepted
  FROM ai_usage.stg_cursor_daily_usage
  WHERE usage_date BETWEEN @start_day AND @end_day
  GROUP BY usage_date, email, user_id
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (PARTITION BY usage_date ORDER BY identity_key NULLS FIRST, user_id NULLS FIRST) AS fact_no,
  identity_key,
  user_email,
  user_id,
  is_active,
  requests,
  lines_added,
  lines_accepted
FROM summed
