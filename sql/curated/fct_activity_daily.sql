CREATE TABLE IF NOT EXISTS ai_usage.fct_activity_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  person_email STRING OPTIONS (description = "Person; NULL when the vendor names no person."),
  team STRING OPTIONS (description = "Team on that day."),
  cost_center STRING OPTIONS (description = "Cost center on that day."),
  is_active BOOL NOT NULL OPTIONS (description = "Whether there was any activity."),
  requests INT64 OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  sessions INT64 OPTIONS (description = "Number of sessions; NULL where the vendor does not count them."),
  lines_added INT64 OPTIONS (description = "Lines of code added."),
  lines_accepted INT64 OPTIONS (description = "Suggested lines that people accepted; NULL where the vendor does not count them."),
  commits INT64 OPTIONS (description = "Number of commits; NULL where the vendor does not count them."),
  pull_requests INT64 OPTIONS (description = "Number of pull requests; NULL where the vendor does not count them.")
)
PARTITION BY usage_date
CLUSTER BY vendor, cost_center, team, person_email
OPTIONS (description = "Activity per day and person, attributed like the cost. The activity of a shared key belongs to its largest share. Activity has no amounts.")
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
