CREATE OR REPLACE VIEW ai_usage.fct_activity_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "anthropic (Claude Code) or cursor."),
  person_email OPTIONS (description = "Person; NULL when nobody is named."),
  team OPTIONS (description = "Team on that day."),
  cost_center OPTIONS (description = "Cost center on that day."),
  is_active OPTIONS (description = "Whether there was any activity."),
  requests OPTIONS (description = "Requests; NULL for Claude Code, which counts sessions."),
  sessions OPTIONS (description = "Sessions; NULL for Cursor, which counts requests."),
  lines_added OPTIONS (description = "Lines added."),
  lines_accepted OPTIONS (description = "Suggested lines accepted; NULL for Claude Code."),
  commits OPTIONS (description = "Commits; NULL for Cursor."),
  pull_requests OPTIONS (description = "Pull requests; NULL for Cursor.")
)
OPTIONS (description = "Who was active on which day and what they did, attributed to people. A shared key's activity goes to its largest share, whole. Never money.")
AS
SELECT
  activity.usage_date,
  activity.vendor,
  attribution.person_email,
  attribution.team,
  attribution.cost_center,
  LOGICAL_OR(activity.is_active) AS is_active,
  CAST(SUM(activity.requests) AS INT64) AS requests,
  CAST(SUM(activity.sessions) AS INT64) AS sessions,
  CAST(SUM(activity.lines_added) AS INT64) AS lines_added,
  CAST(SUM(activity.lines_accepted) AS INT64) AS lines_accepted,
  CAST(SUM(activity.commits) AS INT64) AS commits,
  CAST(SUM(activity.pull_requests) AS INT64) AS pull_requests
FROM ai_usage.int_activity_daily AS activity
LEFT JOIN ai_usage.bridge_attribution_daily AS attribution
  ON attribution.usage_date = activity.usage_date
  AND attribution.vendor = activity.vendor
  AND attribution.identity_key = activity.identity_key
  AND attribution.part_no = 1
GROUP BY activity.usage_date, activity.vendor, attribution.person_email, attribution.team, attribution.cost_center
