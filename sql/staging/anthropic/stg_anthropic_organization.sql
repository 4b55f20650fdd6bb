CREATE OR REPLACE VIEW ai_usage.stg_anthropic_organization (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  organization_id OPTIONS (description = "Id of the organization."),
  name OPTIONS (description = "Name of the organization.")
)
OPTIONS (description = "Organization of the Anthropic key, typed.")
AS
SELECT
  snapshot_date,
  JSON_VALUE(payload, '$.id') AS organization_id,
  JSON_VALUE(payload, '$.name') AS name
FROM ai_usage.raw_anthropic_organization
