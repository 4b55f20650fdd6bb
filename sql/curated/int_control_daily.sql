CREATE OR REPLACE VIEW ai_usage.int_control_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "Vendor."),
  control OPTIONS (description = "Control total: day_total, cost_components, actor_types, classic_cost_report, or detail for the reported records themselves. token_classes is the breakdown by model and class."),
  model OPTIONS (description = "Model, for token_classes; NULL for cost that belongs to no model."),
  token_class OPTIONS (description = "Class of tokens or kind of cost, for token_classes."),
  amount_usd OPTIONS (description = "US dollars that the vendor reports."),
  list_amount_usd OPTIONS (description = "US dollars before discount, for token_classes."),
  records OPTIONS (description = "Number of records in the total; the vendor can have rounded each of them.")
)
OPTIONS (description = "Control totals that the vendors report for each day, and their breakdown by model and token class.")
AS
SELECT
  usage_date, 'anthropic' AS vendor, control, CAST(NULL AS STRING) AS model, CAST(NULL AS STRING) AS token_class,
  control_usd AS amount_usd, CAST(NULL AS NUMERIC) AS list_amount_usd, records
FROM ai_usage.int_anthropic_control_daily
UNION ALL BY NAME
SELECT
  usage_date, 'anthropic' AS vendor, 'token_classes' AS control, model, token_class, amount_usd, list_amount_usd,
  CAST(NULL AS INT64) AS records
FROM ai_usage.int_anthropic_component_daily
