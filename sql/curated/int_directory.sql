CREATE OR REPLACE VIEW ai_usage.int_directory (
  vendor OPTIONS (description = "Vendor."),
  object_type OPTIONS (description = "api_key, workspace, user or organization."),
  object_id OPTIONS (description = "Vendor's id of the object."),
  name OPTIONS (description = "Name of the object."),
  email OPTIONS (description = "E-mail of a user, as last seen."),
  status OPTIONS (description = "Status of an API key or workspace."),
  workspace_id OPTIONS (description = "Workspace that an API key is scoped to."),
  principal_email OPTIONS (description = "E-mail of the user that an API key acts as."),
  principal_service_account_id OPTIONS (description = "Service account that an API key acts as."),
  creator_email OPTIONS (description = "E-mail of the user who created an API key."),
  members OPTIONS (description = "Number of members of a workspace."),
  last_seen_on OPTIONS (description = "Last UTC day on which the object was seen.")
)
OPTIONS (description = "API keys, workspaces, users and organizations of all vendors, as last seen.")
AS
SELECT
  'anthropic' AS vendor, 'api_key' AS object_type, api_key_id AS object_id, name, CAST(NULL AS STRING) AS email,
  status, workspace_id, principal_email, principal_service_account_id, creator_email,
  CAST(NULL AS INT64) AS members, last_seen_on
FROM ai_usage.int_anthropic_api_key
UNION ALL BY NAME
SELECT
  'anthropic' AS vendor, 'workspace' AS object_type, workspace_id AS object_id, name,
  CAST(NULL AS STRING) AS email, CASE WHEN is_archived THEN 'archived' ELSE 'active' END AS status,
  CAST(NULL AS STRING) AS workspace_id, CAST(NULL AS STRING) AS principal_email,
  CAST(NULL AS STRING) AS principal_service_account_id, CAST(NULL AS STRING) AS creator_email, members,
  last_seen_on
FROM ai_usage.int_anthropic_workspace
UNION ALL BY NAME
SELECT
  'anthropic' AS vendor, 'user' AS object_type, user_id AS object_id, name, email, CAST(NULL AS STRING) AS status,
  CAST(NULL AS STRING) AS workspace_id, CAST(NULL AS STRING) AS principal_email,
  CAST(NULL AS STRING) AS principal_service_account_id, CAST(NULL AS STRING) AS creator_email,
  CAST(NULL AS INT64) AS members, last_seen_on
FROM ai_usage.int_anthropic_user
UNION ALL BY NAME
SELECT
  'anthropic' AS vendor, 'organization' AS object_type, organization_id AS object_id, name,
  CAST(NULL AS STRING) AS email, CAST(NULL AS STRING) AS status, CAST(NULL AS STRING) AS workspace_id,
  CAST(NULL AS STRING) AS principal_email, CAST(NULL AS STRING) AS principal_service_account_id,
  CAST(NULL AS STRING) AS creator_email, CAST(NULL AS INT64) AS members, last_seen_on
FROM ai_usage.int_anthropic_organization
