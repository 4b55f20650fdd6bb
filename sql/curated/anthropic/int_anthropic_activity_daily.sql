CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_activity_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  principal_type STRING NOT NULL OPTIONS (description = "user or api_key."),
  user_email STRING OPTIONS (description = "E-mail of the developer."),
  api_key_name STRING OPTIONS (description = "Name of the API key; NULL for a developer. Names are not unique."),
  sessions INT64 OPTIONS (description = "Number of sessions."),
  lines_added INT64 OPTIONS (description = "Lines of code added."),
  commits INT64 OPTIONS (description = "Number of commits made through Claude Code."),
  pull_requests INT64 OPTIONS (description = "Number of pull requests made through Claude Code.")
)
PARTITION BY usage_date
CLUSTER BY identity_key
OPTIONS (description = "Claude Code activity per day and developer or API key, before attribution.")
AS
WITH summed AS (
  SELECT
    usage_date,
    CASE WHEN user_email IS NULL THEN 'api_key' ELSE 'user' END AS principal_type,
    user_email,
    api_key_name,
    SUM(sessions) AS sessions,
    SUM(lines_added) AS lines_added,
    SUM(commits) AS commits,
    SUM(pull_requests) AS pull_requests
  FROM ai_usage.stg_anthropic_claude_code
  WHERE usage_date BETWEEN @start_day AND @end_day
  GROUP BY usage_date, user_email, api_key_name
), identified AS (
  SELECT
    *,
    CONCAT('claude_code|', principal_type, '|', IFNULL(REPLACE(REPLACE(user_email, '%', '%25'), '|', '%7C'), ''), '|', IFNULL(REPLACE(REPLACE(api_key_name, '%', '%25'), '|', '%7C'), '')) AS identity_key
  FROM summed
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (PARTITION BY usage_date ORDER BY identity_key NULLS FIRST) AS fact_no,
  identity_key,
  principal_type,
  user_email,
  api_key_name,
  sessions,
  lines_added,
  commits,
  pull_requests
FROM identified
