CREATE TABLE IF NOT EXISTS ai_usage.dim_api_key (
  api_key_id STRING NOT NULL OPTIONS (description = "Id of the key; never the key itself."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  name STRING OPTIONS (description = "Name of the key."),
  status STRING OPTIONS (description = "active, inactive, archived or expired."),
  workspace_id STRING OPTIONS (description = "Workspace that the key is scoped to."),
  principal_email STRING OPTIONS (description = "E-mail of the user that the key acts as; NULL for none."),
  principal_service_account_id STRING OPTIONS (description = "Service account that the key acts as; NULL for none."),
  creator_email STRING OPTIONS (description = "E-mail of the user who created the key."),
  last_seen_on DATE NOT NULL OPTIONS (description = "Last UTC day on which the directory listed the key.")
)
OPTIONS (description = "API keys of all vendors as last listed by their directories, with their principal and creator.")
AS
SELECT
  object_id AS api_key_id,
  vendor,
  name,
  status,
  workspace_id,
  principal_email,
  principal_service_account_id,
  creator_email,
  last_seen_on
FROM ai_usage.int_directory
WHERE object_type = 'api_key'
