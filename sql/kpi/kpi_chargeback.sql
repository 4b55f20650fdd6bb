CREATE OR REPLACE VIEW ai_usage.kpi_chargeback (
  posting_month OPTIONS (description = "First day of the month whose journal contains the line, or will contain it when the month is closed."),
  usage_month OPTIONS (description = "First day of the month of the usage; earlier than posting_month for a correction."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated."),
  team OPTIONS (description = "Team; NULL when it is not known."),
  vendor OPTIONS (description = "Vendor."),
  cost_basis OPTIONS (description = "billed: owed on top of seats. seat: seat fees. Included usage is no spend and has no line."),
  product OPTIONS (description = "Product through which the usage came; seat for seat fees."),
  line_type OPTIONS (description = "charge (spend of the posting month) or correction (change of a closed month since it was posted)."),
  line_id OPTIONS (description = "Number of the line in the journal; NULL while the month is open."),
  amount_usd OPTIONS (description = "US dollars, exact; negative for credits. Lines of zero are omitted."),
  status OPTIONS (description = "closed (frozen) or open (follows the facts)."),
  closed_at OPTIONS (description = "When the posting month was closed; NULL while it is open."),
  mapping_snapshot OPTIONS (description = "Versions of the sheet's tabs that decide the attribution: the first characters of each snapshot_id in raw_mapping_sheet, or none for a tab that was never read. For a closed month as of the close, for an open month as of the last run."),
  reason OPTIONS (description = "Reason of the correction, for the vendor, product, cost basis and usage month. restated: the total changed (restated or late days, or an edited seat price). reallocated: the total is unchanged and the sheet assigns it differently. restated and reallocated: the total changed, lines changed in both directions, and the sheet was edited since the last close. NULL for a charge."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate the usage of the line; FALSE for a closed line."),
  as_of_date OPTIONS (description = "UTC day of the last run; for a closed line, of the last run before the close.")
)
OPTIONS (description = "Journal by cost center: the lines to post in each month. The lines of a closed month are frozen; those of an open month follow the facts. A later change of a closed month (restatement or edited sheet) is posted as a correction in the first open month. All lines of a usage month, charges and corrections, add up to its current spend to the last digit. `ai-usage close` closes a month.")
AS
WITH last_close AS (
  SELECT
    MAX(closing.month) AS closed_through,
    DATE_ADD(MAX(closing.month), INTERVAL 1 MONTH) AS open_month,
    -- The sheet version of the last close; NULL when it has no lines.
    MAX(CASE WHEN closing.month = newest.month THEN closing.mapping_snapshot END) AS mapping_snapshot
  FROM ai_usage.ops_month_closes AS closing
  CROSS JOIN (SELECT MAX(month) AS month FROM ai_usage.ops_month_closes) AS newest
), version AS (
  SELECT
    tab,
    snapshot_id,
    read_at,
    MAX(read_at) OVER (PARTITION BY tab) AS last_read_at
  FROM ai_usage.raw_mapping_sheet
), today AS (
  SELECT
    (SELECT MAX(as_of_date) FROM ai_usage.dim_date) AS as_of_date,
    CONCAT(
      'key_mapping ', COALESCE(MAX(CASE WHEN tab = 'key_mapping' THEN SUBSTR(snapshot_id, 1, 12) END), 'none'),
      ', people ', COALESCE(MAX(CASE WHEN tab = 'people' THEN SUBSTR(snapshot_id, 1, 12) END), 'none'),
      ', seat_prices ', COALESCE(MAX(CASE WHEN tab = 'seat_prices' THEN SUBSTR(snapshot_id, 1, 12) END), 'none')
    ) AS mapping_snapshot
  FROM version
  WHERE read_at = last_read_at
), posted AS (
  SELECT
    line.posting_month,
    line.usage_month,
    line.cost_center,
    line.team,
    line.vendor,
    line.cost_basis,
    line.product,
    line.line_type,
    line.line_id,
    line.amount_usd,
    line.reason,
    closing.closed_at,
    closing.mapping_snapshot,
    closing.as_of_date
  FROM ai_usage.ops_journal_lines AS line
  JOIN ai_usage.ops_month_closes AS closing ON closing.close_id = line.close_id AND closing.month = line.posting_month
), current_spend AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS usage_month,
    cost_center,
    team,
    vendor,
    cost_basis,
    product,
    SUM(amount_usd) AS amount_usd,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis <> 'included'
  GROUP BY DATE_TRUNC(usage_date, MONTH), cost_center, team, vendor, cost_basis, product
), difference AS (
  -- For a closed month, subtract the posted lines from the current spend.
  SELECT usage_month, cost_center, team, vendor, cost_basis, product, amount_usd, is_provisional
  FROM current_spend
  UNION ALL
  SELECT usage_month, cost_center, team, vendor, cost_basis, product, -amount_usd, FALSE
  FROM posted
), line AS (
  SELECT
    usage_month,
    cost_center,
    team,
    vendor,
    cost_basis,
    product,
    SUM(amount_usd) AS amount_usd,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM difference
  GROUP BY usage_month, cost_center, team, vendor, cost_basis, product
), open_line AS (
  -- The sheet reallocates cost between teams, never between products.
  SELECT
    *,
    SUM(amount_usd) OVER (PARTITION BY usage_month, vendor, cost_basis, product) AS total_usd,
    MIN(amount_usd) OVER (PARTITION BY usage_month, vendor, cost_basis, product) < 0
      AND MAX(amount_usd) OVER (PARTITION BY usage_month, vendor, cost_basis, product) > 0 AS is_both_ways
  FROM line
  WHERE amount_usd <> 0
)
SELECT
  CASE WHEN open_line.usage_month <= last_close.closed_through THEN last_close.open_month ELSE open_line.usage_month END AS posting_month,
  open_line.usage_month,
  open_line.cost_center,
  open_line.team,
  open_line.vendor,
  open_line.cost_basis,
  open_line.product,
  CASE WHEN open_line.usage_month <= last_close.closed_through THEN 'correction' ELSE 'charge' END AS line_type,
  CAST(NULL AS STRING) AS line_id,
  open_line.amount_usd,
  'open' AS status,
  CAST(NULL AS TIMESTAMP) AS closed_at,
  today.mapping_snapshot,
  CASE
    WHEN open_line.usage_month <= last_close.closed_through AND open_line.total_usd = 0 THEN 'reallocated'
    WHEN open_line.usage_month <= last_close.closed_through AND open_line.is_both_ways
      AND COALESCE(last_close.mapping_snapshot, '') <> today.mapping_snapshot THEN 'restated and reallocated'
    WHEN open_line.usage_month <= last_close.closed_through THEN 'restated'
  END AS reason,
  open_line.is_provisional,
  today.as_of_date
FROM open_line
CROSS JOIN last_close
CROSS JOIN today
UNION ALL
SELECT
  posting_month,
  usage_month,
  cost_center,
  team,
  vendor,
  cost_basis,
  product,
  line_type,
  line_id,
  amount_usd,
  'closed',
  closed_at,
  mapping_snapshot,
  reason,
  FALSE,
  as_of_date
FROM posted
