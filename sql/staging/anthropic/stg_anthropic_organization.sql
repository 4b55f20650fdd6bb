CREATE OR REPLACE VIEW ai_usage.stg_anthropic_organization (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  organization_id OPTIONS (description = "The organisation's id."),
  name OPTIONS (description = "Its name.")
)
OPTIONS (description = "Which organisation the Anthropic key belongs to, typed.")
AS
SELECT
  snapshot_date,
  JSON_VALUE(payload, '$.id') AS organization_id,
  JSON_VALUE(payload, '$.name') AS name
FROM ai_usage.raw_anthropic_organization
