CREATE OR REPLACE VIEW ai_usage.kpi_unit_cost (
  month OPTIONS (description = "First day of the month."),
  vendor OPTIONS (description = "Vendor."),
  cost_basis OPTIONS (description = "billed or included; seats have no model."),
  model OPTIONS (description = "Model as the vendor names it; `no model` for cost that belongs to no model."),
  amount_usd OPTIONS (description = "US dollars."),
  list_amount_usd OPTIONS (description = "US dollars before discount."),
  requests OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  total_tokens OPTIONS (description = "Tokens of all classes."),
  people OPTIONS (description = "Number of people with usage."),
  usd_per_million_tokens OPTIONS (description = "US dollars per million tokens of all classes."),
  usd_per_request OPTIONS (description = "US dollars per request."),
  usd_per_person OPTIONS (description = "US dollars per person with usage."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the row."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Unit cost per month, vendor, cost basis and model: per million tokens, per request and per person. Only rows with both cost and units have a unit cost. kpi_token_cost has it by token class.")
AS
WITH cost AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    vendor,
    cost_basis,
    COALESCE(model, 'no model') AS model,
    SUM(amount_usd) AS amount_usd,
    SUM(list_amount_usd) AS list_amount_usd,
    CAST(SUM(requests) AS INT64) AS requests,
    COUNT(DISTINCT person_email) AS people,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis <> 'seat'
  GROUP BY DATE_TRUNC(usage_date, MONTH), vendor, cost_basis, COALESCE(model, 'no model')
), token AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    vendor,
    cost_basis,
    COALESCE(model, 'no model') AS model,
    CAST(SUM(total_tokens) AS INT64) AS total_tokens
  FROM ai_usage.fct_tokens_daily
  GROUP BY DATE_TRUNC(usage_date, MONTH), vendor, cost_basis, COALESCE(model, 'no model')
)
SELECT
  cost.month,
  cost.vendor,
  cost.cost_basis,
  cost.model,
  cost.amount_usd,
  cost.list_amount_usd,
  cost.requests,
  token.total_tokens,
  cost.people,
  CAST(ROUND(CAST(SAFE_DIVIDE(cost.amount_usd * 1000000, token.total_tokens) AS NUMERIC), 6) AS NUMERIC) AS usd_per_million_tokens,
  CAST(ROUND(CAST(SAFE_DIVIDE(cost.amount_usd, cost.requests) AS NUMERIC), 6) AS NUMERIC) AS usd_per_request,
  CAST(ROUND(CAST(SAFE_DIVIDE(cost.amount_usd, cost.people) AS NUMERIC), 6) AS NUMERIC) AS usd_per_person,
  cost.is_provisional,
  as_of.as_of_date
FROM cost
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS as_of
LEFT JOIN token
  ON token.month = cost.month
  AND token.vendor = cost.vendor
  AND token.cost_basis = cost.cost_basis
  AND token.model = cost.model
