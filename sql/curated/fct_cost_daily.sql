CREATE OR REPLACE VIEW ai_usage.fct_cost_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "anthropic or cursor."),
  cost_basis OPTIONS (description = "billed = owed on top of seats; included = valued usage a seat or pool covers; seat = the seat fee of the day. Never add included to the others."),
  product OPTIONS (description = "Product surface; cursor for usage events, seat for seats."),
  model OPTIONS (description = "Model; NULL for cost that belongs to none."),
  principal_type OPTIONS (description = "Whom the vendor attributes the usage to: user, service_account, federated, api_key, automation, cloud_agent or none."),
  principal_id OPTIONS (description = "The vendor's id of that principal; for a Cursor user the e-mail."),
  api_key_id OPTIONS (description = "Anthropic API key."),
  workspace_id OPTIONS (description = "Anthropic workspace."),
  person_email OPTIONS (description = "Person who pays; NULL when nobody is named."),
  team OPTIONS (description = "Team on that day."),
  cost_center OPTIONS (description = "Cost center on that day; NULL = unallocated."),
  attribution_method OPTIONS (description = "The rule that found them."),
  requests OPTIONS (description = "Requests; NULL where the vendor does not count them."),
  amount_usd OPTIONS (description = "Dollars."),
  list_amount_usd OPTIONS (description = "Dollars before discount; for Cursor the amount itself, it publishes no list price."),
  is_provisional OPTIONS (description = "Whether the vendor may still restate the day.")
)
OPTIONS (description = "Every dollar, attributed: billed, included and seat cost of both vendors. Spend = billed + seat; included is usage that a seat or pool already covers. Sums equal the vendors' own to the last digit.")
AS
WITH money AS (
  SELECT
    usage_date, 'anthropic' AS vendor, 'usage' AS source, fact_no, identity_key, 'billed' AS cost_basis, product, model,
    principal_type, principal_id, api_key_id, workspace_id, requests, amount_usd, list_amount_usd
  FROM ai_usage.int_anthropic_cost_daily
  UNION ALL
  SELECT
    usage_date, 'cursor', 'usage', fact_no, identity_key, cost_basis, 'cursor', model, principal_type, principal_id,
    CAST(NULL AS STRING), CAST(NULL AS STRING), requests, amount_usd, amount_usd
  FROM ai_usage.int_cursor_usage_daily
  UNION ALL
  SELECT
    usage_date, vendor, 'seat', fact_no, identity_key, 'seat', 'seat', CAST(NULL AS STRING), 'user', user_email,
    CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS INT64), amount_usd, amount_usd
  FROM ai_usage.fct_seat_daily
  WHERE is_paid
), part AS (
  SELECT
    money.*,
    COALESCE(who.part_no, 1) AS part_no,
    COALESCE(who.attribution_method, 'unallocated') AS attribution_method,
    who.person_email,
    who.team,
    who.cost_center,
    CAST(ROUND(money.amount_usd * COALESCE(who.share, NUMERIC '1'), 9) AS NUMERIC) AS amount_usd_part,
    CAST(ROUND(money.list_amount_usd * COALESCE(who.share, NUMERIC '1'), 9) AS NUMERIC) AS list_amount_usd_part,
    -- Rounded down, so that the remainder of a count is never negative.
    CAST(FLOOR(CAST(money.requests AS NUMERIC) * COALESCE(who.share, NUMERIC '1')) AS INT64) AS requests_part
  FROM money
  LEFT JOIN ai_usage.bridge_attribution_daily AS who
    ON who.usage_date = money.usage_date AND who.identity_key = money.identity_key
), exact AS (
  -- The parts of a row add up to the row: the largest takes what rounding left over.
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
        THEN requests - (SUM(requests_part) OVER (PARTITION BY vendor, source, usage_date, fact_no) - requests_part)
      ELSE requests_part
    END AS INT64) AS requests,
    CASE
      WHEN part_no = 1
        THEN amount_usd - (SUM(amount_usd_part) OVER (PARTITION BY vendor, source, usage_date, fact_no) - amount_usd_part)
      ELSE amount_usd_part
    END AS amount_usd,
    CASE
      WHEN part_no = 1
        THEN list_amount_usd - (SUM(list_amount_usd_part) OVER (PARTITION BY vendor, source, usage_date, fact_no) - list_amount_usd_part)
      ELSE list_amount_usd_part
    END AS list_amount_usd
  FROM part
)
SELECT
  exact.usage_date,
  exact.vendor,
  exact.cost_basis,
  exact.product,
  exact.model,
  exact.principal_type,
  exact.principal_id,
  exact.api_key_id,
  exact.workspace_id,
  exact.person_email,
  exact.team,
  exact.cost_center,
  exact.attribution_method,
  exact.requests,
  exact.amount_usd,
  exact.list_amount_usd,
  COALESCE(settlement.is_provisional, TRUE) AS is_provisional
FROM exact
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = exact.usage_date AND settlement.vendor = exact.vendor
