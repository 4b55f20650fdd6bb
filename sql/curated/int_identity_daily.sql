CREATE TABLE IF NOT EXISTS ai_usage.int_identity_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity, as in the rows of usage, activity and seats."),
  is_seat BOOL NOT NULL OPTIONS (description = "Whether the identity is a seat."),
  principal_type STRING NOT NULL OPTIONS (description = "user, service_account, federated, api_key, automation, cloud_agent or none."),
  is_person BOOL NOT NULL OPTIONS (description = "Whether a person can cause the usage. A service account is never a person."),
  user_email STRING OPTIONS (description = "E-mail that the vendor reports, or the one last seen with the user id."),
  api_key_id STRING OPTIONS (description = "API key."),
  workspace_id STRING OPTIONS (description = "Workspace."),
  service_account_id STRING OPTIONS (description = "Service account."),
  automation_id STRING OPTIONS (description = "Automation."),
  cloud_agent_id STRING OPTIONS (description = "Cloud agent."),
  principal_email STRING OPTIONS (description = "E-mail of the principal to which the API key belongs."),
  creator_email STRING OPTIONS (description = "E-mail of the creator of the API key.")
)
PARTITION BY usage_date
CLUSTER BY vendor, identity_key
OPTIONS (description = "Every identity of each day, from usage, activity and seats, with what the attribution rules need.")
AS
WITH unique_key_names AS (
  -- Some activity reports only the name of an API key. A name that several keys have identifies none of them.
  SELECT vendor, name, MIN(api_key_id) AS api_key_id
  FROM ai_usage.dim_api_key
  GROUP BY vendor, name
  HAVING COUNT(*) = 1
), identities AS (
  SELECT
    usage_date, vendor, identity_key, FALSE AS is_seat, principal_type, principal_id, user_email, api_key_id, workspace_id,
    service_account_id, automation_id, cloud_agent_id
  FROM ai_usage.int_usage_daily
  UNION ALL
  SELECT
    activity.usage_date, activity.vendor, activity.identity_key, FALSE, activity.principal_type, activity.user_email,
    activity.user_email, unique_key_names.api_key_id, CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING),
    CAST(NULL AS STRING)
  FROM ai_usage.int_activity_daily AS activity
  LEFT JOIN unique_key_names
    ON unique_key_names.vendor = activity.vendor AND unique_key_names.name = activity.api_key_name
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, TRUE, 'user', user_email, user_email, CAST(NULL AS STRING), CAST(NULL AS STRING),
    CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING)
  FROM ai_usage.int_seat_daily
)
SELECT DISTINCT
  identities.usage_date,
  identities.vendor,
  identities.identity_key,
  identities.is_seat,
  identities.principal_type,
  -- A service account is never a person, whatever e-mail it carries.
  identities.service_account_id IS NULL
    AND identities.principal_type IN ('user', 'automation', 'cloud_agent') AS is_person,
  -- A user without an e-mail is the person last seen with that user id.
  COALESCE(identities.user_email, directory_user.email) AS user_email,
  identities.api_key_id,
  identities.workspace_id,
  identities.service_account_id,
  identities.automation_id,
  identities.cloud_agent_id,
  api_key.principal_email,
  api_key.creator_email
FROM identities
LEFT JOIN ai_usage.int_directory AS directory_user
  ON directory_user.object_type = 'user'
  AND identities.principal_type = 'user'
  AND directory_user.vendor = identities.vendor
  AND directory_user.object_id = identities.principal_id
LEFT JOIN ai_usage.dim_api_key AS api_key
  ON api_key.vendor = identities.vendor AND api_key.api_key_id = identities.api_key_id
