CREATE TABLE IF NOT EXISTS ai_usage.ops_month_closes (
  month DATE NOT NULL OPTIONS (description = "First day of the closed month."),
  close_id STRING NOT NULL OPTIONS (description = "Fingerprint of everything that the close froze."),
  closed_at TIMESTAMP NOT NULL OPTIONS (description = "Time of the close."),
  as_of_date DATE NOT NULL OPTIONS (description = "UTC day of the last run before the close."),
  mapping_snapshot STRING OPTIONS (description = "Versions of the sheet's tabs that the attribution used: the first characters of their snapshot_id in raw_mapping_sheet. NULL for a journal without lines."),
  charges_usd NUMERIC NOT NULL OPTIONS (description = "Dollars of the month's own spend."),
  corrections_usd NUMERIC NOT NULL OPTIONS (description = "Dollars of the corrections of earlier months."),
  lines INT64 NOT NULL OPTIONS (description = "Number of journal lines."),
  version STRING NOT NULL OPTIONS (description = "Version of this project that closed it.")
)
OPTIONS (description = "One row per closed month, written once, after its lines and totals. Lines and totals without a row here belong to a close that did not complete, and do not count.")
