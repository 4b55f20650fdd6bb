CREATE TABLE IF NOT EXISTS ai_usage.ops_close_totals (
  close_id STRING NOT NULL OPTIONS (description = "Id of the close."),
  month DATE NOT NULL OPTIONS (description = "First day of the month."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or seat."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "Dollars."),
  content_digest STRING OPTIONS (description = "SHA-256 over the days of its raw tables and the digest of the records of each; NULL where none is loaded.")
)
OPTIONS (description = "The vendors' totals of a closed month before attribution; the charges of its journal add up to them to the last digit.")
