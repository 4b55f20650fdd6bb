CREATE OR REPLACE VIEW ai_usage.kpi_discount (
  month OPTIONS (description = "First day of the month; the current month is month to date."),
  vendor OPTIONS (description = "Vendor."),
  cost_basis OPTIONS (description = "billed. Included usage and seats have no discount."),
  model OPTIONS (description = "Model as the vendor names it; `no model` for cost that belongs to no model."),
  list_usd OPTIONS (description = "US dollars at the vendor's list price, before discount; NULL when the vendor publishes no prices."),
  billed_usd OPTIONS (description = "Billed US dollars, after discount and before credits."),
  discount_usd OPTIONS (description = "List price minus billed; negative = surcharge. NULL when there is no list price."),
  discount_ratio OPTIONS (description = "Discount divided by the list price: 0.10 = 10% off. NULL when there is no list price."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the row."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Effective discount per month, vendor and model: billed dollars against the vendor's list price of the same usage. It does not use dim_model_price.")
AS
WITH line AS (
  SELECT
    usage.usage_date, usage.vendor, usage.model, usage.amount_usd,
    CASE WHEN vendor.publishes_prices THEN usage.list_amount_usd END AS list_amount_usd
  FROM ai_usage.int_usage_daily AS usage
  JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = usage.vendor
  WHERE usage.has_cost AND usage.cost_basis = 'billed'
), monthly AS (
  SELECT
    DATE_TRUNC(line.usage_date, MONTH) AS month,
    line.vendor,
    COALESCE(line.model, 'no model') AS model,
    SUM(line.list_amount_usd) AS list_usd,
    SUM(line.amount_usd) AS billed_usd,
    LOGICAL_OR(settlement.is_provisional) AS is_provisional,
    MAX(settlement.as_of_date) AS as_of_date
  FROM line
  LEFT JOIN ai_usage.int_settlement_daily AS settlement
    ON settlement.usage_date = line.usage_date AND settlement.vendor = line.vendor
  GROUP BY DATE_TRUNC(line.usage_date, MONTH), line.vendor, COALESCE(line.model, 'no model')
)
SELECT
  month,
  vendor,
  'billed' AS cost_basis,
  model,
  list_usd,
  billed_usd,
  list_usd - billed_usd AS discount_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(list_usd - billed_usd, list_usd) AS NUMERIC), 6) AS NUMERIC) AS discount_ratio,
  COALESCE(is_provisional, TRUE) AS is_provisional,
  as_of_date
FROM monthly
