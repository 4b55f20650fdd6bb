CREATE TABLE IF NOT EXISTS ai_usage.fct_cost_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed: owed on top of seats. included: usage at vendor rates that a seat or pool covers. seat: the seat fee of the day. Never add included to the others."),
  product STRING OPTIONS (description = "Product through which the usage came; seat for seat fees."),
  model STRING OPTIONS (description = "Model; NULL for cost that belongs to no model."),
  principal_type STRING NOT NULL OPTIONS (description = "Type of principal to which the vendor attributes the usage: user, service_account, federated, api_key, automation, cloud_agent or none."),
  principal_id STRING OPTIONS (description = "Vendor's id of the principal; the e-mail where the vendor has no id for users."),
  api_key_id STRING OPTIONS (description = "API key; NULL where the vendor has none."),
  workspace_id STRING OPTIONS (description = "Workspace; NULL where the vendor has none."),
  person_email STRING OPTIONS (description = "Person to whom the amount is attributed; NULL when there is none."),
  team STRING OPTIONS (description = "Team on that day."),
  cost_center STRING OPTIONS (description = "Cost center on that day; NULL = unallocated."),
  attribution_method STRING NOT NULL OPTIONS (description = "Name of the attribution rule that matched."),
  requests INT64 OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  amount_usd NUMERIC OPTIONS (description = "US dollars; NULL for a seat without a price."),
  list_amount_usd NUMERIC OPTIONS (description = "US dollars before discount; equal to amount_usd when the vendor publishes no prices."),
  is_provisional BOOL NOT NULL OPTIONS (description = "Whether the vendor can still restate the day.")
)
PARTITION BY usage_date
CLUSTER BY vendor, cost_center, team, person_email
OPTIONS (description = "Cost of all vendors per day, attributed: billed, included and seat. Spend = billed + seat. Sums equal the vendors' totals to the last digit.")
AS
WITH cost AS (
  SELECT
    usage_date, vendor, FALSE AS is_seat, fact_no, identity_key, cost_basis, product, model, principal_type, principal_id,
    api_key_id, workspace_id, requests, amount_usd, list_amount_usd
  FROM ai_usage.int_usage_daily
  WHERE has_cost
  UNION ALL
  SELECT
    usage_date, vendor, TRUE, fact_no, identity_key, 'seat', 'seat', CAST(NULL AS STRING), 'user', user_email,
    CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS INT64), amount_usd, amount_usd
  FROM ai_usage.fct_seat_daily
  WHERE is_paid
), allocated AS (
  SELECT
    cost.*,
    COALESCE(attribution.part_no, 1) AS part_no,
    COALESCE(attribution.attribution_method, 'unallocated') AS attribution_method,
    attribution.person_email,
    attribution.team,
    attribution.cost_center,
    CAST(ROUND(cost.amount_usd * COALESCE(attribution.share, NUMERIC '1'), 9) AS NUMERIC) AS amount_usd_part,
    CAST(ROUND(cost.list_amount_usd * COALESCE(attribution.share, NUMERIC '1'), 9) AS NUMERIC) AS list_amount_usd_part,
    -- Rounded down, so that the remainder of a count is never negative.
    CAST(FLOOR(CAST(cost.requests AS NUMERIC) * COALESCE(attribution.share, NUMERIC '1')) AS INT64) AS requests_part
  FROM cost
  LEFT JOIN ai_usage.bridge_attribution_daily AS attribution
    ON attribution.usage_date = cost.usage_date
    AND attribution.vendor = cost.vendor
    AND attribution.identity_key = cost.identity_key
), reconciled AS (
  -- The shares of a row add up to the row: the largest share takes the rounding remainder.
  SELECT
    usage_date,
    vendor,
    cost_basis,
    product,
    model,
    principal_type,
    principal_id,
    api_key_id,
    workspace_id,
    person_email,
    team,
    cost_center,
    attribution_method,
    CAST(CASE
      WHEN part_no = 1
        THEN requests - (SUM(requests_part) OVER (PARTITION BY vendor, is_seat, usage_date, fact_no) - requests_part)
      ELSE requests_part
    END AS INT64) AS requests,
    CASE
      WHEN part_no = 1
        THEN amount_usd - (SUM(amount_usd_part) OVER (PARTITION BY vendor, is_seat, usage_date, fact_no) - amount_usd_part)
      ELSE amount_usd_part
    END AS amount_usd,
    CASE
      WHEN part_no = 1
        THEN list_amount_usd - (SUM(list_amount_usd_part) OVER (PARTITION BY vendor, is_seat, usage_date, fact_no) - list_amount_usd_part)
      ELSE list_amount_usd_part
    END AS list_amount_usd
  FROM allocated
)
SELECT
  reconciled.usage_date,
  reconciled.vendor,
  reconciled.cost_basis,
  reconciled.product,
  reconciled.model,
  reconciled.principal_type,
  reconciled.principal_id,
  reconciled.api_key_id,
  reconciled.workspace_id,
  reconciled.person_email,
  reconciled.team,
  reconciled.cost_center,
  reconciled.attribution_method,
  reconciled.requests,
  reconciled.amount_usd,
  reconciled.list_amount_usd,
  COALESCE(settlement.is_provisional, TRUE) AS is_provisional
FROM reconciled
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = reconciled.usage_date AND settlement.vendor = reconciled.vendor
