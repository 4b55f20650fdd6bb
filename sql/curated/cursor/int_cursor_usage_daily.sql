CREATE TABLE IF NOT EXISTS ai_usage.int_cursor_usage_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or included."),
  model STRING OPTIONS (description = "Model as Cursor names it."),
  principal_type STRING NOT NULL OPTIONS (description = "automation, service_account, cloud_agent, user or none."),
  principal_id STRING OPTIONS (description = "Vendor's id of the principal; for a user the e-mail."),
  user_email STRING OPTIONS (description = "E-mail of the event's user: its own, the one it had in an earlier extract, or the one of its conversation."),
  service_account_id STRING OPTIONS (description = "Service account."),
  automation_id STRING OPTIONS (description = "Automation."),
  cloud_agent_id STRING OPTIONS (description = "Cloud agent."),
  requests INT64 NOT NULL OPTIONS (description = "Number of events."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "US dollars charged, including the token fee."),
  uncached_input_tokens INT64 OPTIONS (description = "Input tokens that were not read from a cache."),
  cache_write_tokens INT64 OPTIONS (description = "Tokens written to a cache."),
  cache_read_tokens INT64 OPTIONS (description = "Input tokens read from a cache."),
  output_tokens INT64 OPTIONS (description = "Output tokens.")
)
PARTITION BY usage_date
CLUSTER BY identity_key
OPTIONS (description = "Cursor's cost, requests and tokens per day, cost basis, model and principal, before attribution.")
AS
WITH event AS (
  SELECT *
  FROM ai_usage.stg_cursor_usage_events
  WHERE usage_date BETWEEN DATE_SUB(@start_day, INTERVAL 30 DAY) AND DATE_ADD(@end_day, INTERVAL 30 DAY)
), events_without_email AS (
  SELECT DISTINCT usage_date, conversation_id
  FROM event
  WHERE usage_date BETWEEN @start_day AND @end_day AND user_email IS NULL AND conversation_id IS NOT NULL
), conversation AS (
  -- The window is relative to each day, so that a day has the same rows in every range of days; 30 days on either side
  -- are within the trailing range that every run rebuilds.
  SELECT events_without_email.usage_date, events_without_email.conversation_id, event.user_email
  FROM events_without_email
  JOIN event
    ON event.conversation_id = events_without_email.conversation_id
    AND event.usage_date BETWEEN DATE_SUB(events_without_email.usage_date, INTERVAL 30 DAY)
      AND DATE_ADD(events_without_email.usage_date, INTERVAL 30 DAY)
  WHERE event.user_email IS NOT NULL AND event.service_account_id IS NULL
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY events_without_email.usage_date, events_without_email.conversation_id
    ORDER BY event.event_at DESC, event.usage_date DESC, event.record_no DESC
  ) = 1
), identified AS (
  SELECT
    event.usage_date,
    event.cost_basis,
    event.model,
    COALESCE(event.user_email, conversation.user_email) AS user_email,
    event.service_account_id,
    event.automation_id,
    event.cloud_agent_id,
    event.amount_usd,
    event.uncached_input_tokens,
    event.cache_write_tokens,
    event.cache_read_tokens,
    event.output_tokens
  FROM event
  LEFT JOIN conversation
    ON conversation.usage_date = event.usage_date AND conversation.conversation_id = event.conversation_id
  WHERE event.usage_date BETWEEN @start_day AND @end_day
), typed AS (
  SELECT
    *,
    CASE
      WHEN automation_id IS NOT NULL THEN 'automation'
      WHEN service_account_id IS NOT NULL THEN 'service_account'
      WHEN cloud_agent_id IS NOT NULL THEN 'cloud_agent'
      WHEN user_email IS NOT NULL THEN 'user'
      ELSE 'none'
    END AS principal_type,
    COALESCE(automation_id, service_account_id, cloud_agent_id, user_email) AS principal_id
  FROM identified
), summed AS (
  SELECT
    usage_date,
    CONCAT(
      'cursor|', IFNULL(REPLACE(REPLACE(automation_id, '%', '%25'), '|', '%7C'), ''), '|', IFNULL(REPLACE(REPLACE(service_account_id, '%', '%25'), '|', '%7C'), ''), '|', IFNULL(REPLACE(REPLACE(cloud_agent_id, '%', '%25'), '|', '%7C'), ''), '|',
      IFNULL(REPLACE(REPLACE(user_email, '%', '%25'), '|', '%7C'), '')
    ) AS identity_key,
    cost_basis,
    model,
    principal_type,
    principal_id,
    user_email,
    service_account_id,
    automation_id,
    cloud_agent_id,
    COUNT(*) AS requests,
    SUM(amount_usd) AS amount_usd,
    SUM(uncached_input_tokens) AS uncached_input_tokens,
    SUM(cache_write_tokens) AS cache_write_tokens,
    SUM(cache_read_tokens) AS cache_read_tokens,
    SUM(output_tokens) AS output_tokens
  FROM typed
  GROUP BY usage_date, cost_basis, model, principal_type, principal_id, user_email, service_account_id, automation_id, cloud_agent_id
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (
    PARTITION BY usage_date
    ORDER BY identity_key NULLS FIRST, cost_basis NULLS FIRST, model NULLS FIRST
  ) AS fact_no,
  identity_key,
  cost_basis,
  model,
  principal_type,
  principal_id,
  user_email,
  service_account_id,
  automation_id,
  cloud_agent_id,
  requests,
  amount_usd,
  uncached_input_tokens,
  cache_write_tokens,
  cache_read_tokens,
  output_tokens
FROM summed
