CREATE TABLE IF NOT EXISTS ai_usage.ops_restatements (
  asset STRING NOT NULL OPTIONS (description = "Raw table."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  usage_date DATE NOT NULL OPTIONS (description = "UTC day that changed."),
  restated_at TIMESTAMP NOT NULL OPTIONS (description = "Time at which the new content was received."),
  run_id STRING NOT NULL OPTIONS (description = "Run that loaded the new content."),
  old_records INT64 OPTIONS (description = "Records before."),
  new_records INT64 OPTIONS (description = "Records now."),
  old_amount_usd NUMERIC OPTIONS (description = "Dollars before; NULL where the records have no amounts."),
  new_amount_usd NUMERIC OPTIONS (description = "Dollars now.")
)
OPTIONS (description = "One row for each change by a vendor to a day that was already loaded completely.")
