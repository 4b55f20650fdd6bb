CREATE OR REPLACE VIEW ai_usage.stg_anthropic_claude_code (
  usage_date OPTIONS (description = "UTC day."),
  record_no OPTIONS (description = "Number of the raw record within its day."),
  user_email OPTIONS (description = "E-mail of the developer, in lower case; NULL for an API key."),
  api_key_name OPTIONS (description = "Name of the API key; NULL for a developer. Names are not unique."),
  customer_type OPTIONS (description = "api or subscription."),
  terminal_type OPTIONS (description = "Terminal or editor."),
  sessions OPTIONS (description = "Number of sessions."),
  lines_added OPTIONS (description = "Lines of code added."),
  lines_removed OPTIONS (description = "Lines of code removed."),
  commits OPTIONS (description = "Number of commits made through Claude Code."),
  pull_requests OPTIONS (description = "Number of pull requests made through Claude Code.")
)
OPTIONS (description = "Claude Code activity, typed: several rows per developer and day (terminal, customer type, remote). Its cost estimates are not used.")
AS
SELECT
  usage_date,
  record_no,
  LOWER(NULLIF(TRIM(JSON_VALUE(payload, '$.actor.email_address')), '')) AS user_email,
  JSON_VALUE(payload, '$.actor.api_key_name') AS api_key_name,
  JSON_VALUE(payload, '$.customer_type') AS customer_type,
  JSON_VALUE(payload, '$.terminal_type') AS terminal_type,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.core_metrics.num_sessions') AS NUMERIC) AS INT64) AS sessions,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.core_metrics.lines_of_code.added') AS NUMERIC) AS INT64) AS lines_added,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.core_metrics.lines_of_code.removed') AS NUMERIC) AS INT64) AS lines_removed,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.core_metrics.commits_by_claude_code') AS NUMERIC) AS INT64) AS commits,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.core_metrics.pull_requests_by_claude_code') AS NUMERIC) AS INT64) AS pull_requests
FROM ai_usage.raw_anthropic_claude_code
