CREATE OR REPLACE VIEW ai_usage.stg_anthropic_api_keys (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  api_key_id OPTIONS (description = "Id of the key; never the key itself."),
  name OPTIONS (description = "Name."),
  status OPTIONS (description = "active, inactive, archived or expired."),
  workspace_id OPTIONS (description = "Workspace that the key is scoped to; NULL for the whole organization."),
  principal_user_id OPTIONS (description = "User that the key acts as; NULL for none."),
  principal_service_account_id OPTIONS (description = "Service account that the key acts as; NULL for none."),
  created_by_user_id OPTIONS (description = "User who created the key.")
)
OPTIONS (description = "Anthropic API keys, typed: one row per key and snapshot. Both formats of `principal` are read.")
AS
SELECT
  snapshot_date,
  JSON_VALUE(payload, '$.id') AS api_key_id,
  JSON_VALUE(payload, '$.name') AS name,
  JSON_VALUE(payload, '$.status') AS status,
  COALESCE(JSON_VALUE(payload, '$.scope.workspace_id'), JSON_VALUE(payload, '$.workspace_id')) AS workspace_id,
  COALESCE(
    JSON_VALUE(payload, '$.principal.user_id'),
    CASE WHEN JSON_VALUE(payload, '$.principal.type') = 'user' THEN JSON_VALUE(payload, '$.principal.id') END
  ) AS principal_user_id,
  COALESCE(
    JSON_VALUE(payload, '$.principal.service_account_id'),
    CASE WHEN JSON_VALUE(payload, '$.principal.type') = 'service_account' THEN JSON_VALUE(payload, '$.principal.id') END
  ) AS principal_service_account_id,
  CASE
    WHEN JSON_VALUE(payload, '$.created_by.type') = 'user' THEN JSON_VALUE(payload, '$.created_by.id')
  END AS created_by_user_id
FROM ai_usage.raw_anthropic_api_keys
