CREATE OR REPLACE VIEW ai_usage.stg_cursor_groups (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  group_id OPTIONS (description = "The group's id."),
  name OPTIONS (description = "Name of the group."),
  cycle_start OPTIONS (description = "When the billing cycle began, as the vendor writes it."),
  cycle_end OPTIONS (description = "When it ends."),
  user_id OPTIONS (description = "Member's id, as text."),
  email OPTIONS (description = "Member's e-mail, lower-cased."),
  spend_usd OPTIONS (description = "Dollars the group's usage was worth in the cycle for this member.")
)
OPTIONS (description = "Cursor billing groups and their current members, typed. Enterprise only.")
AS
SELECT
  snapshot_date,
  JSON_VALUE(team, '$.id') AS group_id,
  JSON_VALUE(team, '$.name') AS name,
  JSON_VALUE(page.payload, '$.billingCycle.cycleStart') AS cycle_start,
  JSON_VALUE(page.payload, '$.billingCycle.cycleEnd') AS cycle_end,
  JSON_VALUE(member, '$.userId') AS user_id,
  LOWER(NULLIF(TRIM(JSON_VALUE(member, '$.email')), '')) AS email,
  CAST(SAFE_CAST(JSON_VALUE(member, '$.spendCents') AS BIGNUMERIC) * NUMERIC '0.01' AS NUMERIC) AS spend_usd
FROM ai_usage.raw_cursor_groups AS page, UNNEST(JSON_QUERY_ARRAY(page.payload, '$.groups')) AS team,
  UNNEST(JSON_QUERY_ARRAY(team, '$.currentMembers')) AS member
