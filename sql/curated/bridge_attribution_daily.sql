CREATE OR REPLACE VIEW ai_usage.bridge_attribution_daily (
  usage_date OPTIONS (description = "UTC day."),
  identity_key OPTIONS (description = "The identity, as in the facts."),
  part_no OPTIONS (description = "1 for the largest share, which also takes the rounding remainder."),
  share OPTIONS (description = "Share of the cost, 1 = all of it."),
  attribution_method OPTIONS (description = "The rule that matched."),
  person_email OPTIONS (description = "Person who pays; NULL when the rule names none."),
  team OPTIONS (description = "Team."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated.")
)
OPTIONS (description = "Who pays for an identity on a day, by the first rule that matches: one row per part, the shares of a day adding up to 1.")
AS
WITH named_key AS (
  -- Claude Code names a key, it does not give its id; a name that two keys have tells nothing.
  SELECT name, MIN(api_key_id) AS api_key_id
  FROM ai_usage.dim_api_key
  GROUP BY name
  HAVING COUNT(*) = 1
), identity AS (
  SELECT
    usage_date, identity_key, 'anthropic' AS source, principal_type, principal_id, user_email, api_key_id, workspace_id,
    CAST(NULL AS STRING) AS service_account_id, CAST(NULL AS STRING) AS automation_id, CAST(NULL AS STRING) AS cloud_agent_id
  FROM ai_usage.int_anthropic_cost_daily
  UNION ALL
  SELECT
    usage_date, identity_key, 'anthropic', principal_type, principal_id, user_email, api_key_id, workspace_id,
    CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING)
  FROM ai_usage.int_anthropic_tokens_daily
  UNION ALL
  SELECT
    activity.usage_date, activity.identity_key, 'anthropic', activity.principal_type, CAST(NULL AS STRING),
    activity.user_email, named_key.api_key_id, CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING),
    CAST(NULL AS STRING)
  FROM ai_usage.int_anthropic_activity_daily AS activity
  LEFT JOIN named_key ON named_key.name = activity.api_key_name
  UNION ALL
  SELECT
    usage_date, identity_key, 'cursor', principal_type, principal_id, user_email, CAST(NULL AS STRING),
    CAST(NULL AS STRING), service_account_id, automation_id, cloud_agent_id
  FROM ai_usage.int_cursor_usage_daily
  UNION ALL
  SELECT
    usage_date, identity_key, 'cursor', CASE WHEN user_email IS NULL THEN 'none' ELSE 'user' END, user_email, user_email,
    CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING)
  FROM ai_usage.int_cursor_activity_daily
  UNION ALL
  SELECT
    usage_date, identity_key, 'seat', 'user', user_email, user_email, CAST(NULL AS STRING), CAST(NULL AS STRING),
    CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING)
  FROM ai_usage.fct_seat_daily
), known AS (
  SELECT DISTINCT
    identity.usage_date,
    identity.identity_key,
    identity.source,
    CASE WHEN identity.source = 'anthropic' THEN 'anthropic' ELSE 'cursor' END AS vendor,
    identity.principal_type,
    identity.principal_id,
    -- A user without an e-mail is the person last seen under that id.
    COALESCE(identity.user_email, actor.email) AS user_email,
    identity.api_key_id,
    identity.workspace_id,
    identity.service_account_id,
    identity.automation_id,
    identity.cloud_agent_id,
    api_key.principal_email,
    api_key.creator_email
  FROM identity
  LEFT JOIN ai_usage.int_anthropic_user AS actor
    ON identity.source = 'anthropic' AND identity.principal_type = 'user' AND actor.user_id = identity.principal_id
  LEFT JOIN ai_usage.dim_api_key AS api_key ON api_key.api_key_id = identity.api_key_id
), asked AS (
  -- Which mapping rows could answer, in the order in which they are asked.
  SELECT usage_date, identity_key, vendor, user_email, 1 AS rule_no, 'api_key_map' AS method, 'api_key' AS map_type, api_key_id AS map_id
  FROM known
  WHERE source = 'anthropic'
  UNION ALL
  SELECT usage_date, identity_key, vendor, user_email, 2, 'service_account_map', 'service_account', principal_id
  FROM known
  WHERE source = 'anthropic' AND principal_type = 'service_account'
  UNION ALL
  SELECT usage_date, identity_key, vendor, user_email, 3, 'user_map', 'user', user_email
  FROM known
  WHERE source = 'anthropic' AND principal_type = 'user'
  UNION ALL
  SELECT usage_date, identity_key, vendor, user_email, 6, 'workspace_map', 'workspace', workspace_id
  FROM known
  WHERE source = 'anthropic'
  UNION ALL
  SELECT usage_date, identity_key, vendor, user_email, 1, 'automation_map', 'automation', automation_id
  FROM known
  WHERE source = 'cursor'
  UNION ALL
  SELECT usage_date, identity_key, vendor, user_email, 2, 'service_account_map', 'service_account', service_account_id
  FROM known
  WHERE source = 'cursor'
  UNION ALL
  SELECT usage_date, identity_key, vendor, user_email, 3, 'cloud_agent_map', 'cloud_agent', cloud_agent_id
  FROM known
  WHERE source = 'cursor'
  UNION ALL
  SELECT usage_date, identity_key, vendor, user_email, 4, 'user_map', 'user', user_email
  FROM known
  WHERE source = 'cursor' AND service_account_id IS NULL
  UNION ALL
  SELECT usage_date, identity_key, vendor, user_email, 1, 'seat', 'user', user_email
  FROM known
  WHERE source = 'seat'
), answer AS (
  SELECT
    asked.usage_date,
    asked.identity_key,
    asked.rule_no,
    asked.method,
    -- A row that names no person leaves it open; only a user row keeps its user.
    CASE WHEN asked.map_type = 'user' THEN COALESCE(mapping.person_email, asked.user_email) ELSE mapping.person_email END AS person_email,
    mapping.team,
    mapping.cost_center,
    mapping.share,
    mapping.row_no
  FROM asked
  JOIN ai_usage.int_key_mapping AS mapping
    ON mapping.vendor = asked.vendor
    AND mapping.principal_type = asked.map_type
    AND mapping.principal_id = asked.map_id
    AND asked.usage_date >= mapping.effective_from
    AND asked.usage_date < mapping.effective_to
  UNION ALL
  SELECT usage_date, identity_key, 4, 'vendor_actor', user_email, CAST(NULL AS STRING), CAST(NULL AS STRING), NUMERIC '1', 0
  FROM known
  WHERE source = 'anthropic' AND principal_type = 'user'
  UNION ALL
  SELECT usage_date, identity_key, 5, 'key_principal', principal_email, CAST(NULL AS STRING), CAST(NULL AS STRING), NUMERIC '1', 0
  FROM known
  WHERE source = 'anthropic' AND principal_type NOT IN ('user', 'service_account') AND principal_email IS NOT NULL
  UNION ALL
  SELECT usage_date, identity_key, 7, 'key_creator', creator_email, CAST(NULL AS STRING), CAST(NULL AS STRING), NUMERIC '1', 0
  FROM known
  WHERE source = 'anthropic' AND principal_type NOT IN ('user', 'service_account') AND creator_email IS NOT NULL
  UNION ALL
  SELECT usage_date, identity_key, 5, 'vendor_actor', user_email, CAST(NULL AS STRING), CAST(NULL AS STRING), NUMERIC '1', 0
  FROM known
  WHERE source = 'cursor' AND service_account_id IS NULL AND user_email IS NOT NULL
  UNION ALL
  SELECT usage_date, identity_key, 2, 'seat', user_email, CAST(NULL AS STRING), CAST(NULL AS STRING), NUMERIC '1', 0
  FROM known
  WHERE source = 'seat'
  UNION ALL
  SELECT usage_date, identity_key, 8, 'unallocated', CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), NUMERIC '1', 0
  FROM known
  WHERE source <> 'seat'
), first_answer AS (
  SELECT *
  FROM answer
  QUALIFY rule_no = MIN(rule_no) OVER (PARTITION BY usage_date, identity_key)
)
SELECT
  first_answer.usage_date,
  first_answer.identity_key,
  ROW_NUMBER() OVER (
    PARTITION BY first_answer.usage_date, first_answer.identity_key
    ORDER BY first_answer.share DESC, first_answer.row_no
  ) AS part_no,
  first_answer.share,
  first_answer.method AS attribution_method,
  first_answer.person_email,
  COALESCE(first_answer.team, person.team) AS team,
  COALESCE(first_answer.cost_center, person.cost_center) AS cost_center
FROM first_answer
LEFT JOIN ai_usage.dim_person AS person
  ON person.person_email = first_answer.person_email
  AND first_answer.usage_date >= person.effective_from
  AND first_answer.usage_date < person.effective_to
