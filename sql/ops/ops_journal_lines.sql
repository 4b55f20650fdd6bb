CREATE TABLE IF NOT EXISTS ai_usage.ops_journal_lines (
  close_id STRING NOT NULL OPTIONS (description = "Id of the close."),
  line_id STRING NOT NULL OPTIONS (description = "Number of the line: AI, the posting month, and a number from 1."),
  posting_month DATE NOT NULL OPTIONS (description = "First day of the month in which the line is posted."),
  posting_date DATE NOT NULL OPTIONS (description = "Last day of that month."),
  usage_month DATE NOT NULL OPTIONS (description = "First day of the month of the usage."),
  line_type STRING NOT NULL OPTIONS (description = "charge (the month's own spend) or correction (of a closed month)."),
  reason STRING OPTIONS (description = "Reason of a correction, as in kpi_chargeback; NULL for a charge."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or seat; included usage is not spend and has no line."),
  product STRING OPTIONS (description = "Product, as in fct_cost_daily."),
  team STRING OPTIONS (description = "Team; NULL where the attribution has none."),
  cost_center STRING OPTIONS (description = "Cost center; NULL for unallocated spend."),
  account_key STRING NOT NULL OPTIONS (description = "Vendor and cost basis in one value, for choosing the ledger account."),
  currency STRING NOT NULL OPTIONS (description = "USD."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "Dollars, exact; negative for a credit."),
  ledger_usd NUMERIC NOT NULL OPTIONS (description = "amount_usd rounded to two decimals, so that the lines of one vendor, cost basis and usage month add up to their exact sum, rounded once."),
  description STRING NOT NULL OPTIONS (description = "Text of the line.")
)
OPTIONS (description = "The journal of closed months for a ledger; rows never change. Only lines whose close_id is in ops_month_closes count; kpi_chargeback shows those.")
