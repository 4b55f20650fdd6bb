CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_organization (
  organization_id STRING NOT NULL OPTIONS (description = "Id of the organization."),
  name STRING OPTIONS (description = "Name of the organization."),
  last_seen_on DATE NOT NULL OPTIONS (description = "UTC day on which the organization was last read.")
)
OPTIONS (description = "Organization of the Anthropic key, as last read: one row, or none before the first read.")
AS
WITH latest AS (
  SELECT MAX(snapshot_date) AS snapshot_date
  FROM ai_usage.stg_anthropic_organization
  WHERE snapshot_date BETWEEN @first_day AND @today AND organization_id IS NOT NULL
)
SELECT
  organization.organization_id,
  organization.name,
  organization.snapshot_date AS last_seen_on
FROM ai_usage.stg_anthropic_organization AS organization
JOIN latest ON latest.snapshot_date = organization.snapshot_date
WHERE organization.snapshot_date BETWEEN @first_day AND @today AND organization.organization_id IS NOT NULL
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY organization.snapshot_date ORDER BY organization.organization_id
) = 1
