CREATE OR REPLACE VIEW ai_usage.stg_cursor_groups (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  group_id OPTIONS (description = "Id of the group."),
  name OPTIONS (description = "Name of the group."),
  cycle_start OPTIONS (description = "Start of the billing cycle, as the vendor writes it."),
  cycle_end OPTIONS (description = "End of the billing cycle."),
  user_id OPTIONS (description = "Id of the member, as text."),
  email OPTIONS (description = "E-mail of the member, in lower case."),
  spend_usd OPTIONS (description = "US dollars of the member's usage in the group and billing cycle.")
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
