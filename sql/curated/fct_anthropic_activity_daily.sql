CREATE TABLE IF NOT EXISTS ai_usage.fct_anthropic_activity_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Everything by which the row can be attributed, as one text; joins dim_attribution_daily."),
  principal_type STRING NOT NULL OPTIONS (description = "user or api_key."),
  user_email STRING OPTIONS (description = "Developer's e-mail."),
  api_key_id STRING OPTIONS (description = "API key, found by its name where only one key has it."),
  sessions INT64 OPTIONS (description = "Sessions."),
  lines_added INT64 OPTIONS (description = "Lines of code added."),
  commits INT64 OPTIONS (description = "Commits made through Claude Code."),
  pull_requests INT64 OPTIONS (description = "Pull requests made through Claude Code.")
)
PARTITION BY usage_date
CLUSTER BY identity_key
OPTIONS (description = "Claude Code activity per day and developer or API key, before attribution.")
AS
WITH named_key AS (
  SELECT name, MIN(api_key_id) AS api_key_id
  FROM ai_usage.dim_api_key
  GROUP BY name
  HAVING COUNT(*) = 1
), typed AS (
  SELECT
    code.usage_date,
    CASE WHEN code.user_email IS NULL THEN 'api_key' ELSE 'user' END AS principal_type,
    code.user_email,
    named_key.api_key_id,
    code.sessions,
    code.lines_added,
    code.commits,
    code.pull_requests
  FROM ai_usage.stg_anthropic_claude_code AS code
  LEFT JOIN named_key ON named_key.name = code.api_key_name
  WHERE code.usage_date BETWEEN @start_day AND @end_day
), summed AS (
  SELECT
    usage_date,
    CONCAT('anthropic|', principal_type, '||', IFNULL(user_email, ''), '|', IFNULL(api_key_id, ''), '|') AS identity_key,
    principal_type,
    user_email,
    api_key_id,
    SUM(sessions) AS sessions,
    SUM(lines_added) AS lines_added,
    SUM(commits) AS commits,
    SUM(pull_requests) AS pull_requests
  FROM typed
  GROUP BY usage_date, principal_type, user_email, api_key_id
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (PARTITION BY usage_date ORDER BY identity_key NULLS FIRST) AS fact_no,
  identity_key,
  principal_type,
  user_email,
  api_key_id,
  sessions,
  lines_added,
  commits,
  pull_requests
FROM summed
