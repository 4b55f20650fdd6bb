CREATE OR REPLACE VIEW ai_usage.stg_cursor_spend (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  cycle_started_at OPTIONS (description = "Start of the billing cycle."),
  user_id OPTIONS (description = "Id of the member, as text."),
  email OPTIONS (description = "E-mail, in lower case."),
  billing_tier OPTIONS (description = "Seat tier; NULL when Cursor does not report it."),
  on_demand_usd OPTIONS (description = "On-demand spend of the billing cycle so far, in US dollars."),
  overall_usd OPTIONS (description = "On-demand and included usage of the billing cycle so far, in US dollars."),
  limit_usd OPTIONS (description = "US dollars that the member may spend on demand in a billing cycle: the effective limit, else the member's own, else the override; NULL when no limit is set.")
)
OPTIONS (description = "Cursor's spend per member in the billing cycle of the snapshot, typed.")
AS
SELECT
  snapshot_date,
  TIMESTAMP_MILLIS(CAST(JSON_VALUE(page.payload, '$.subscriptionCycleStart') AS INT64)) AS cycle_started_at,
  JSON_VALUE(member, '$.userId') AS user_id,
  LOWER(NULLIF(TRIM(JSON_VALUE(member, '$.email')), '')) AS email,
  JSON_VALUE(member, '$.billingTier') AS billing_tier,
  CAST(SAFE_CAST(JSON_VALUE(member, '$.spendCents') AS BIGNUMERIC) * NUMERIC '0.01' AS NUMERIC) AS on_demand_usd,
  CAST(SAFE_CAST(JSON_VALUE(member, '$.overallSpendCents') AS BIGNUMERIC) * NUMERIC '0.01' AS NUMERIC) AS overall_usd,
  -- Dollars, not cents; an override of 0 means none.
  COALESCE(
    SAFE_CAST(JSON_VALUE(member, '$.effectivePerUserLimitDollars') AS NUMERIC),
    SAFE_CAST(JSON_VALUE(member, '$.monthlyLimitDollars') AS NUMERIC),
    NULLIF(SAFE_CAST(JSON_VALUE(member, '$.hardLimitOverrideDollars') AS NUMERIC), 0)
  ) AS limit_usd
FROM ai_usage.raw_cursor_spend AS page, UNNEST(JSON_QUERY_ARRAY(page.payload, '$.teamMemberSpend')) AS member
