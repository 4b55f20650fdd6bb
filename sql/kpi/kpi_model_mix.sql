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
SELECT
  month,
  vendor,
  cost_basis,
  model,
  amount_usd,
  requests,
  total_tokens,
  CAST(ROUND(SAFE_DIVIDE(
    amount_usd, SUM(amount_usd) OVER (PARTITION BY month, vendor, cost_basis)
  ), 6) AS NUMERIC) AS share_of_amount,
  CAST(ROUND(SAFE_DIVIDE(
    total_tokens, SUM(total_tokens) OVER (PARTITION BY month, vendor, cost_basis)
  ), 6) AS NUMERIC) AS share_of_tokens
FROM ai_usage.kpi_unit_cost
