CREATE OR REPLACE VIEW ai_usage.stg_cursor_usage_events (
  usage_date OPTIONS (description = "UTC day."),
  record_no OPTIONS (description = "Number of the raw record within its day."),
  event_at OPTIONS (description = "Time of the event."),
  user_email OPTIONS (description = "E-mail of the user, in lower case; taken from an earlier extract when Cursor no longer sends it."),
  service_account_id OPTIONS (description = "Service account; NULL for people. An event of a service account never belongs to a person, whatever e-mail it carries."),
  automation_id OPTIONS (description = "Automation; NULL when there is none."),
  cloud_agent_id OPTIONS (description = "Cloud agent; NULL when there is none."),
  conversation_id OPTIONS (description = "Conversation."),
  model OPTIONS (description = "Model as Cursor names it; `default` is Auto."),
  kind OPTIONS (description = "Billing kind, as the vendor writes it."),
  kind_class OPTIONS (description = "Billing class: on_demand, included, byok, not_charged, free or unknown."),
  cost_basis OPTIONS (description = "billed: owed on top of seats. included: covered by a seat or pool. An unknown kind counts as billed."),
  uncached_input_tokens OPTIONS (description = "Input tokens that were not read from a cache; NULL when the event has no token counts."),
  cache_write_tokens OPTIONS (description = "Tokens written to a cache."),
  cache_read_tokens OPTIONS (description = "Input tokens read from a cache."),
  output_tokens OPTIONS (description = "Output tokens."),
  amount_usd OPTIONS (description = "US dollars charged, including the token fee."),
  model_usd OPTIONS (description = "Cost of the models at Cursor's token prices in US dollars, before discount and fee; NULL when Cursor does not report it.")
)
OPTIONS (description = "Cursor usage events, typed: one row per event. Equal events are separate events.")
AS
WITH classified AS (
  SELECT
    *,
    REGEXP_REPLACE(
      REPLACE(UPPER(COALESCE(JSON_VALUE(payload, '$.kind'), '')), 'USAGE_EVENT_KIND_', ''), '[^A-Z0-9]+', '_'
    ) AS kind_code
  FROM ai_usage.raw_cursor_usage_events
), named AS (
  SELECT
    *,
    CASE
      WHEN kind_code IN ('USAGE_BASED', 'ON_DEMAND') THEN 'on_demand'
      WHEN STARTS_WITH(kind_code, 'INCLUDED') THEN 'included'
      WHEN kind_code = 'USER_API_KEY' THEN 'byok'
      WHEN STARTS_WITH(kind_code, 'ERRORED') OR STARTS_WITH(kind_code, 'ABORTED') THEN 'not_charged'
      WHEN STARTS_WITH(kind_code, 'FREE') THEN 'free'
      ELSE 'unknown'
    END AS kind_class
  FROM classified
)
SELECT
  usage_date,
  record_no,
  TIMESTAMP_MILLIS(CAST(JSON_VALUE(payload, '$.timestamp') AS INT64)) AS event_at,
  LOWER(COALESCE(NULLIF(TRIM(JSON_VALUE(payload, '$.userEmail')), ''), carried_email)) AS user_email,
  NULLIF(TRIM(JSON_VALUE(payload, '$.serviceAccountId')), '') AS service_account_id,
  NULLIF(TRIM(JSON_VALUE(payload, '$.automationId')), '') AS automation_id,
  NULLIF(TRIM(JSON_VALUE(payload, '$.cloudAgentId')), '') AS cloud_agent_id,
  NULLIF(TRIM(JSON_VALUE(payload, '$.conversationId')), '') AS conversation_id,
  JSON_VALUE(payload, '$.model') AS model,
  JSON_VALUE(payload, '$.kind') AS kind,
  kind_class,
  CASE WHEN kind_class IN ('on_demand', 'byok', 'unknown') THEN 'billed' ELSE 'included' END AS cost_basis,
  -- A count can be written as 12.0; the direct cast is faster for the others.
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.inputTokens') AS INT64), SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.inputTokens') AS NUMERIC) AS INT64)) AS uncached_input_tokens,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.cacheWriteTokens') AS INT64), SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.cacheWriteTokens') AS NUMERIC) AS INT64)) AS cache_write_tokens,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.cacheReadTokens') AS INT64), SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.cacheReadTokens') AS NUMERIC) AS INT64)) AS cache_read_tokens,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.outputTokens') AS INT64), SAFE_CAST(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.outputTokens') AS NUMERIC) AS INT64)) AS output_tokens,
  COALESCE(
    CAST(ROUND(CAST(JSON_VALUE(payload, '$.chargedCents') AS BIGNUMERIC), 18) * NUMERIC '0.01' AS NUMERIC),
    CAST(
      COALESCE(ROUND(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.totalCents') AS BIGNUMERIC), 18), 0)
      * CAST((100 - COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.discountPercentOff') AS NUMERIC), 0)) * NUMERIC '0.0001' AS NUMERIC)
      + COALESCE(ROUND(SAFE_CAST(JSON_VALUE(payload, '$.cursorTokenFee') AS BIGNUMERIC), 18), 0) * NUMERIC '0.01' AS NUMERIC
    )
  ) AS amount_usd,
  -- Not part of the bill and not validated on load, so implausible values become NULL.
  CASE
    WHEN ABS(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.totalCents') AS BIGNUMERIC)) <= 1000000000000
      THEN CAST(SAFE_CAST(JSON_VALUE(payload, '$.tokenUsage.totalCents') AS BIGNUMERIC) * NUMERIC '0.01' AS NUMERIC)
  END AS model_usd
FROM named
