CREATE OR REPLACE VIEW ai_usage.int_activity_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "Vendor."),
  identity_key OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  principal_type OPTIONS (description = "user, api_key or none."),
  user_id OPTIONS (description = "Vendor's id of the user."),
  user_email OPTIONS (description = "E-mail of the user."),
  api_key_name OPTIONS (description = "Name of the API key; names are not unique."),
  is_active OPTIONS (description = "Whether there was any activity."),
  requests OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  sessions OPTIONS (description = "Number of sessions; NULL where the vendor does not count them."),
  lines_added OPTIONS (description = "Lines of code added."),
  lines_accepted OPTIONS (description = "Suggested lines that the user accepted; NULL where the vendor does not count them."),
  commits OPTIONS (description = "Number of commits; NULL where the vendor does not count them."),
  pull_requests OPTIONS (description = "Number of pull requests; NULL where the vendor does not count them.")
)
OPTIONS (description = "Activity of all vendors in one common schema, before attribution.")
AS
SELECT
  usage_date, 'anthropic' AS vendor, identity_key, principal_type, CAST(NULL AS STRING) AS user_id, user_email,
  api_key_name, COALESCE(sessions, 0) > 0 AS is_active, CAST(NULL AS INT64) AS requests, sessions, lines_added,
  CAST(NULL AS INT64) AS lines_accepted, commits, pull_requests
FROM ai_usage.int_anthropic_activity_daily
UNION ALL BY NAME
SELECT
  usage_date, 'cursor' AS vendor, identity_key,
  CASE WHEN user_email IS NULL THEN 'none' ELSE 'user' END AS principal_type, user_id, user_email,
  CAST(NULL AS STRING) AS api_key_name, is_active, requests, CAST(NULL AS INT64) AS sessions, lines_added,
  lines_accepted, CAST(NULL AS INT64) AS commits, CAST(NULL AS INT64) AS pull_requests
FROM ai_usage.int_cursor_activity_daily
