CREATE TABLE IF NOT EXISTS ai_usage.ops_asset_days (
  asset STRING NOT NULL OPTIONS (description = "Raw table."),
  vendor STRING NOT NULL OPTIONS (description = "Name of the source."),
  usage_date DATE NOT NULL OPTIONS (description = "UTC day; for a snapshot, the day of the read."),
  is_daily BOOL OPTIONS (description = "Whether the raw table needs records for every day; a snapshot exists only for days on which it was read."),
  status STRING NOT NULL OPTIONS (description = "How the last attempt ended: complete, incomplete (the vendor's data does not reach the end of the day yet), failed (earlier data stays), not_exposed (the key or plan has no access), not_configured (no key)."),
  message STRING OPTIONS (description = "Reason, and what to do; NULL when complete."),
  attempted_at TIMESTAMP NOT NULL OPTIONS (description = "Time of the last attempt."),
  completed_at TIMESTAMP OPTIONS (description = "Time of the last complete attempt."),
  landed_at TIMESTAMP OPTIONS (description = "Time at which the loaded content was first received."),
  records INT64 OPTIONS (description = "Number of loaded records."),
  expected_records INT64 OPTIONS (description = "Number of records that the vendor reports; NULL where it reports none."),
  amount_usd NUMERIC OPTIONS (description = "Dollars in the loaded records; NULL where they have no amounts."),
  pages INT64 OPTIONS (description = "Number of pages of the extract."),
  watermark TIMESTAMP OPTIONS (description = "Time up to which the vendor reports its data as complete."),
  content_digest STRING OPTIONS (description = "SHA-256 of the loaded records."),
  bytes INT64 OPTIONS (description = "Bytes of the loaded records; NULL for a tab of the sheet."),
  landed_run_id STRING OPTIONS (description = "Run that loaded the content; NULL for a tab of the sheet."),
  run_id STRING NOT NULL OPTIONS (description = "Run that made the last attempt.")
)
OPTIONS (description = "The day log: for each raw table and day, how the last attempt to load it ended and what is loaded. This table, not Dagster's event log, states whether a day is loaded.")
