CREATE OR REPLACE VIEW ai_usage.stg_cursor_daily_usage (
  usage_date OPTIONS (description = "UTC day."),
  record_no OPTIONS (description = "Number of the raw record within its day."),
  user_id OPTIONS (description = "Id of the member, as text."),
  email OPTIONS (description = "E-mail, in lower case; taken from an earlier extract when Cursor no longer sends it."),
  is_active OPTIONS (description = "Whether the member used Cursor on the day."),
  lines_added OPTIONS (description = "Lines of code added, from all sources."),
  lines_accepted OPTIONS (description = "Suggested lines that the member accepted. Agents write code without suggestions to accept, so this undercounts their lines."),
  requests OPTIONS (description = "Number of agent, chat, composer and inline-edit requests.")
)
OPTIONS (description = "Cursor's daily activity, typed: one row per member and day, including idle members.")
AS
SELECT
  usage_date,
  record_no,
  JSON_VALUE(payload, '$.userId') AS user_id,
  LOWER(COALESCE(NULLIF(TRIM(JSON_VALUE(payload, '$.email')), ''), carried_email)) AS email,
  COALESCE(JSON_VALUE(payload, '$.isActive') = 'true', FALSE) AS is_active,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.totalLinesAdded') AS NUMERIC) AS INT64) AS lines_added,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.acceptedLinesAdded') AS NUMERIC) AS INT64) AS lines_accepted,
  COALESCE(SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.agentRequests') AS NUMERIC) AS INT64), 0) + COALESCE(SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.chatRequests') AS NUMERIC) AS INT64), 0)
  + COALESCE(SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.composerRequests') AS NUMERIC) AS INT64), 0) + COALESCE(SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.cmdkUsages') AS NUMERIC) AS INT64), 0) AS requests
FROM ai_usage.raw_cursor_daily_usage
-- A row without a day was loaded with the last day of its window.
WHERE JSON_VALUE(payload, '$.day') = CAST(usage_date AS STRING)
