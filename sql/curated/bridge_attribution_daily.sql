CREATE TABLE IF NOT EXISTS ai_usage.bridge_attribution_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity, as in the facts."),
  part_no INT64 NOT NULL OPTIONS (description = "Number of the share, from 1 for the largest, which also takes the rounding remainder."),
  share NUMERIC NOT NULL OPTIONS (description = "Share of the cost: 1 = all of it."),
  attribution_method STRING NOT NULL OPTIONS (description = "Name of the rule that matched."),
  person_email STRING OPTIONS (description = "Person; NULL when the rule names no person."),
  team STRING OPTIONS (description = "Team."),
  cost_center STRING OPTIONS (description = "Cost center; NULL = unallocated.")
)
PARTITION BY usage_date
CLUSTER BY vendor, identity_key
OPTIONS (description = "Attribution of each identity on each day by the first rule that matches: one row per share. The shares of an identity and day add up to 1.")
AS
WITH candidate_mappings AS (
  -- Identities that the sheet can map, by rule. The order of the rules is the same for all vendors.
  SELECT
    usage_date, vendor, identity_key, user_email, 1 AS rule_no, 'api_key_map' AS method, 'api_key' AS mapped_type,
    api_key_id AS mapped_id
  FROM ai_usage.int_identity_daily
  WHERE api_key_id IS NOT NULL
  UNION ALL
  SELECT usage_date, vendor, identity_key, user_email, 2, 'automation_map', 'automation', automation_id
  FROM ai_usage.int_identity_daily
  WHERE automation_id IS NOT NULL
  UNION ALL
  SELECT usage_date, vendor, identity_key, user_email, 3, 'service_account_map', 'service_account', service_account_id
  FROM ai_usage.int_identity_daily
  WHERE service_account_id IS NOT NULL
  UNION ALL
  SELECT usage_date, vendor, identity_key, user_email, 4, 'cloud_agent_map', 'cloud_agent', cloud_agent_id
  FROM ai_usage.int_identity_daily
  WHERE cloud_agent_id IS NOT NULL
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, user_email, 5, CASE WHEN is_seat THEN 'seat' ELSE 'user_map' END, 'user', user_email
  FROM ai_usage.int_identity_daily
  WHERE is_person AND user_email IS NOT NULL
  UNION ALL
  SELECT usage_date, vendor, identity_key, user_email, 8, 'workspace_map', 'workspace', workspace_id
  FROM ai_usage.int_identity_daily
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
  FROM ai_usage.int_identity_daily
  WHERE is_person AND (user_email IS NOT NULL OR principal_type = 'user')
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, 7, 'key_principal', principal_email, CAST(NULL AS STRING), CAST(NULL AS STRING),
    NUMERIC '1', 0
  FROM ai_usage.int_identity_daily
  WHERE principal_type NOT IN ('user', 'service_account') AND principal_email IS NOT NULL
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, 9, 'key_creator', creator_email, CAST(NULL AS STRING), CAST(NULL AS STRING),
    NUMERIC '1', 0
  FROM ai_usage.int_identity_daily
  WHERE principal_type NOT IN ('user', 'service_account') AND creator_email IS NOT NULL
  UNION ALL
  SELECT
    usage_date, vendor, identity_key, 10, 'unallocated', CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING),
    NUMERIC '1', 0
  FROM ai_usage.int_identity_daily
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
