CREATE OR REPLACE VIEW ai_usage.kpi_model_mix (
  month OPTIONS (description = "First day of the month."),
  vendor OPTIONS (description = "anthropic or cursor."),
  cost_basis OPTIONS (description = "billed or included; seats have no model."),
  model OPTIONS (description = "Model as the vendor names it; `no model` for cost that belongs to none."),
  amount_usd OPTIONS (description = "Dollars."),
  requests OPTIONS (description = "Requests; NULL where the vendor does not count them."),
  total_tokens OPTIONS (description = "Tokens, all kinds."),
  share_of_amount OPTIONS (description = "Share of the dollars of the vendor, month and cost basis."),
  share_of_tokens OPTIONS (description = "Share of the tokens of the vendor, month and cost basis.")
)
OPTIONS (description = "Which models the money and the tokens go to, as shares of the vendor's month and cost basis.")
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
    COUNT(DISTINCT person_email) AS people
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
  cost.requests,
  token.total_tokens,
  CAST(ROUND(SAFE_DIVIDE(
    cost.amount_usd, SUM(cost.amount_usd) OVER (PARTITION BY cost.month, cost.vendor, cost.cost_basis)
  ), 6) AS NUMERIC) AS share_of_amount,
  CAST(ROUND(SAFE_DIVIDE(
    token.total_tokens, SUM(token.total_tokens) OVER (PARTITION BY cost.month, cost.vendor, cost.cost_basis)
  ), 6) AS NUMERIC) AS share_of_tokens
FROM cost
LEFT JOIN token
  ON token.month = cost.month
  AND token.vendor = cost.vendor
  AND token.cost_basis = cost.cost_basis
  AND token.model = cost.model
