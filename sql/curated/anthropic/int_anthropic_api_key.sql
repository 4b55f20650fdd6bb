CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_api_key (
  api_key_id STRING NOT NULL OPTIONS (description = "Id of the key; never the key itself."),
  name STRING OPTIONS (description = "Name of the key."),
  status STRING OPTIONS (description = "active, inactive, archived or expired."),
  workspace_id STRING OPTIONS (description = "Workspace that the key is scoped to."),
  principal_email STRING OPTIONS (description = "E-mail of the user that the key acts as; NULL for none."),
  principal_service_account_id STRING OPTIONS (description = "Service account that the key acts as; NULL for none."),
  creator_email STRING OPTIONS (description = "E-mail of the user who created the key."),
  last_seen_on DATE NOT NULL OPTIONS (description = "Last UTC day on which the directory listed the key.")
)
OPTIONS (description = "Anthropic API keys as last listed by the directory, with their principal and creator.")
AS
WITH latest AS (
  SELECT *
  FROM ai_usage.stg_anthropic_api_keys
  WHERE snapshot_date BETWEEN @first_day AND @today
  QUALIFY ROW_NUMBER() OVER (PARTITION BY api_key_id ORDER BY snapshot_date DESC, status, name NULLS FIRST, workspace_id NULLS FIRST) = 1
)
SELECT
  latest.api_key_id,
  latest.name,
  latest.status,
  latest.workspace_id,
  principal.email AS principal_email,
  latest.principal_service_account_id,
  creator.email AS creator_email,
  latest.snapshot_date AS last_seen_on
FROM latest
LEFT JOIN ai_usage.int_anthropic_user AS principal ON principal.user_id = latest.principal_user_id
LEFT JOIN ai_usage.int_anthropic_user AS creator ON creator.user_id = latest.created_by_user_id
