CREATE OR REPLACE VIEW ai_usage.stg_anthropic_users (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  user_id OPTIONS (description = "Id of the member."),
  email OPTIONS (description = "E-mail, in lower case."),
  name OPTIONS (description = "Name."),
  role OPTIONS (description = "Role in the organization.")
)
OPTIONS (description = "Members of the Anthropic organization, typed: one row per member and snapshot.")
AS
SELECT
  snapshot_date,
  JSON_VALUE(payload, '$.id') AS user_id,
  LOWER(NULLIF(TRIM(JSON_VALUE(payload, '$.email')), '')) AS email,
  JSON_VALUE(payload, '$.name') AS name,
  JSON_VALUE(payload, '$.role') AS role
FROM ai_usage.raw_anthropic_users
