CREATE OR REPLACE VIEW ai_usage.stg_anthropic_cost_report (
  usage_date OPTIONS (description = "UTC day."),
  workspace_id OPTIONS (description = "Workspace; NULL for the default one."),
  description OPTIONS (description = "Description of the line, as the vendor writes it."),
  model OPTIONS (description = "Model; NULL for cost that belongs to no model."),
  cost_type OPTIONS (description = "tokens, web_search, code_execution or session_usage."),
  amount_usd OPTIONS (description = "US dollars.")
)
OPTIONS (description = "Anthropic's classic cost report, typed: an independent control total without keys, people and Priority Tier.")
AS
SELECT
  usage_date,
  JSON_VALUE(line, '$.workspace_id') AS workspace_id,
  JSON_VALUE(line, '$.description') AS description,
  JSON_VALUE(line, '$.model') AS model,
  JSON_VALUE(line, '$.cost_type') AS cost_type,
  CAST(ROUND(CAST(JSON_VALUE(line, '$.amount') AS BIGNUMERIC), 18) * NUMERIC '0.01' AS NUMERIC) AS amount_usd
FROM ai_usage.raw_anthropic_cost_report AS report, UNNEST(JSON_QUERY_ARRAY(report.payload, '$.results')) AS line
