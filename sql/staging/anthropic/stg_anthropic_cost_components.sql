CREATE OR REPLACE VIEW ai_usage.stg_anthropic_cost_components (
  usage_date OPTIONS (description = "UTC day."),
  record_no OPTIONS (description = "Number of the raw record within its day."),
  workspace_id OPTIONS (description = "Workspace, including the default workspace."),
  model OPTIONS (description = "Model; NULL for cost that belongs to no model."),
  cost_type OPTIONS (description = "tokens, web_search, code_execution or session_usage."),
  token_type OPTIONS (description = "Token type; NULL for cost that is not tokens."),
  amount_usd OPTIONS (description = "Billed US dollars, after discount and before credits."),
  list_amount_usd OPTIONS (description = "US dollars at the vendor's list price, before discount.")
)
OPTIONS (description = "Anthropic's billed cost per workspace, model, cost type and token type, typed.")
AS
SELECT
  usage_date,
  record_no,
  JSON_VALUE(payload, '$.group.workspace_id') AS workspace_id,
  JSON_VALUE(payload, '$.group.model') AS model,
  JSON_VALUE(payload, '$.group.cost_type') AS cost_type,
  JSON_VALUE(payload, '$.group.token_type') AS token_type,
  CAST(ROUND(CAST(JSON_VALUE(payload, '$.cost.amount') AS BIGNUMERIC), 18) * NUMERIC '0.01' AS NUMERIC) AS amount_usd,
  CAST(ROUND(CAST(JSON_VALUE(payload, '$.cost.list_amount') AS BIGNUMERIC), 18) * NUMERIC '0.01' AS NUMERIC) AS list_amount_usd
FROM ai_usage.raw_anthropic_cost_components
