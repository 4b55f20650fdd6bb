CREATE OR REPLACE VIEW ai_usage.stg_cursor_members (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  user_id OPTIONS (description = "Id of the member, as text."),
  email OPTIONS (description = "E-mail, in lower case."),
  name OPTIONS (description = "Name."),
  role OPTIONS (description = "owner, member, free-owner (has no paid seat) or a newer role."),
  is_removed OPTIONS (description = "Whether the member was removed from the team.")
)
OPTIONS (description = "Members of the Cursor team, typed: one row per member and snapshot.")
AS
SELECT
  snapshot_date,
  JSON_VALUE(payload, '$.id') AS user_id,
  LOWER(NULLIF(TRIM(JSON_VALUE(payload, '$.email')), '')) AS email,
  JSON_VALUE(payload, '$.name') AS name,
  JSON_VALUE(payload, '$.role') AS role,
  COALESCE(JSON_VALUE(payload, '$.isRemoved') = 'true', FALSE) AS is_removed
FROM ai_usage.raw_cursor_members
