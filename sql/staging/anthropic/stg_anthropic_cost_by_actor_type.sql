CREATE OR REPLACE VIEW ai_usage.stg_anthropic_cost_by_actor_type (
  usage_date OPTIONS (description = "UTC day."),
  record_no OPTIONS (description = "Number of the raw record within its day."),
  actor_type OPTIONS (description = "Type of actor; NULL for usage without an identity."),
  requests OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  amount_usd OPTIONS (description = "Billed US dollars, after discount and before credits."),
  list_amount_usd OPTIONS (description = "US dollars at the vendor's list price, before discount.")
)
OPTIONS (description = "Anthropic's billed cost per type of actor, typed: a control total.")
AS
SELECT
  usage_date,
  record_no,
  JSON_VALUE(payload, '$.group.actor_type') AS actor_type,
  SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.cost.requests') AS NUMERIC) AS INT64) AS requests,
  CAST(ROUND(CAST(JSON_VALUE(payload, '$.cost.amount') AS BIGNUMERIC), 18) * NUMERIC '0.01' AS NUMERIC) AS amount_usd,
  CAST(ROUND(CAST(JSON_VALUE(payload, '$.cost.list_amount') AS BIGNUMERIC), 18) * NUMERIC '0.01' AS NUMERIC) AS list_amount_usd
FROM ai_usage.raw_anthropic_cost_by_actor_type
