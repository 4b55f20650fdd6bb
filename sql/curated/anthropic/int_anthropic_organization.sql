CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_organization (
  organization_id STRING NOT NULL OPTIONS (description = "Id of the organization."),
  name STRING OPTIONS (description = "Name of the organization."),
  last_seen_on DATE NOT NULL OPTIONS (description = "UTC day on which the organization was last read.")
)
OPTIONS (description = "Organization of the Anthropic key, as last read: one row, or none before the first read.")
AS
SELECT
  organization_id,
  name,
  snapshot_date AS last_seen_on
FROM ai_usage.stg_anthropic_organization
WHERE snapshot_date BETWEEN @first_day AND @today AND organization_id IS NOT NULL
QUALIFY ROW_NUMBER() OVER (ORDER BY snapshot_date DESC, organization_id) = 1
