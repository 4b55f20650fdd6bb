CREATE OR REPLACE VIEW ai_usage.bridge_attribution_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "Vendor."),
  identity_key OPTIONS (description = "Key of the identity, as in the facts."),
  part_no OPTIONS (description = "Number of the share, from 1 for the largest, which also takes the rounding remainder."),
  share OPTIONS (description = "Share of the cost: 1 = all of it."),
  attribution_method OPTIONS (description = "Name of the rule that matched."),
  person_email OPTIONS (description = "Person; NULL when the rule names no person."),
  team OPTIONS (description = "Team."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated.")
)
OPTIONS (description = "Attribution of each identity on each day by the first rule that matches: one row per share. The shares of an identity and day add up to 1.")
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
), attribution_inputs AS (
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
), candidate_mappings AS (
  -- Identities that the sheet can map, by rule. The order of the rules is the same for all vendors.
  SELECT
    usage_date, vendor, identity_key, user_email, 1 AS rule_no, 'api_key_map' AS method, 'api_key' AS mapped_type,
    api_key_id AS mapped_id
  FROM attribution_inputs
  WHERE api_key_id IS NOT NULL
  UNION ALL
  SELECT usage_date, vendor, identity_key, user_email, 2, 'automation_map', 'automation', automation_id
  FROM attribution_inputs
  WHERE automation_id IS NOT NULL
  UNION ALL
  SELECT usage_date, vendor, identity_key, user_email, 3, 'service_account_map', 'service_account', service_account_id
  FROM attribution_inputs
  WHERE service_account_id IS NOT NULL
  UNION ALL
  SELECT usage_date, vendor, identity_key, user_email, 4, 'cloud_agent_map', 'cloud_agent', cloud_agent_id
  FROM attribution_inputs
  WHERE cloud_agent_id IS NOT NULL
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, user_email, 5, CASE WHEN is_seat THEN 'seat' ELSE 'user_map' END, 'user', user_email
  FROM attribution_inputs
  WHERE is_person AND user_email IS NOT NULL
  UNION ALL
  SELECT usage_date, vendor, identity_key, user_email, 8, 'workspace_map', 'workspace', workspace_id
  FROM attribution_inputs
  WHERE workspace_id IS NOT NULL
), candidate_rules AS (
  SELECT
    candidate.usage_date,
    candidate.vendor,
    candidate.identity_key,
    candidate.rule_no,
    candidate.method,
    -- A row of the sheet without a person has no person, except that a user row keeps its user.
    CASE
      WHEN candidate.mapped_type = 'user' THEN COALESCE(mapping.person_email, candidate.user_email)
      ELSE mapping.person_email
    END AS person_email,
    mapping.team,
    mapping.cost_center,
    mapping.share,
    mapping.row_no
  FROM candidate_mappings AS candidate
  JOIN ai_usage.int_key_mapping AS mapping
    ON mapping.vendor = candidate.vendor
    AND mapping.principal_type = candidate.mapped_type
    AND mapping.principal_id = candidate.mapped_id
    AND candidate.usage_date >= mapping.effective_from
    AND candidate.usage_date < mapping.effective_to
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, 6, CASE WHEN is_seat THEN 'seat' ELSE 'vendor_actor' END, user_email,
    CAST(NULL AS STRING), CAST(NULL AS STRING), NUMERIC '1', 0
  FROM attribution_inputs
  WHERE is_person AND (user_email IS NOT NULL OR principal_type = 'user')
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, 7, 'key_principal', principal_email, CAST(NULL AS STRING), CAST(NULL AS STRING),
    NUMERIC '1', 0
  FROM attribution_inputs
  WHERE principal_type NOT IN ('user', 'service_account') AND principal_email IS NOT NULL
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, 9, 'key_creator', creator_email, CAST(NULL AS STRING), CAST(NULL AS STRING),
    NUMERIC '1', 0
  FROM attribution_inputs
  WHERE principal_type NOT IN ('user', 'service_account') AND creator_email IS NOT NULL
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, 10, 'unallocated', CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING),
    NUMERIC '1', 0
  FROM attribution_inputs
  WHERE NOT is_seat
), matched_rules AS (
  SELECT *
  FROM candidate_rules
  QUALIFY rule_no = MIN(rule_no) OVER (PARTITION BY usage_date, vendor, identity_key)
)
SELECT
  matched_rules.usage_date,
  matched_rules.vendor,
  matched_rules.identity_key,
  ROW_NUMBER() OVER (
    PARTITION BY matched_rules.usage_date, matched_rules.vendor, matched_rules.identity_key
    ORDER BY matched_rules.share DESC, matched_rules.row_no
  ) AS part_no,
  matched_rules.share,
  matched_rules.method AS attribution_method,
  matched_rules.person_email,
  COALESCE(matched_rules.team, person.team) AS team,
  COALESCE(matched_rules.cost_center, person.cost_center) AS cost_center
FROM matched_rules
LEFT JOIN ai_usage.dim_person AS person
  ON person.person_email = matched_rules.person_email
  AND matched_rules.usage_date >= person.effective_from
  AND matched_rules.usage_date < person.effective_to
