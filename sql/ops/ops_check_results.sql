CREATE TABLE IF NOT EXISTS ai_usage.ops_check_results (
  run_id STRING NOT NULL OPTIONS (description = "Dagster's id of the run."),
  checked_at TIMESTAMP NOT NULL OPTIONS (description = "Time of the check."),
  asset STRING NOT NULL OPTIONS (description = "Checked asset."),
  check_name STRING NOT NULL OPTIONS (description = "Name of the check."),
  passed BOOL NOT NULL OPTIONS (description = "Whether the check passed."),
  severity STRING NOT NULL OPTIONS (description = "WARN or ERROR."),
  blocking BOOL NOT NULL OPTIONS (description = "Whether a failure stops the assets downstream."),
  amount_usd NUMERIC OPTIONS (description = "Dollars that the findings affect; NULL where they affect none."),
  message STRING NOT NULL OPTIONS (description = "What happened, how much it affects, what to do."),
  scope STRING OPTIONS (description = "What the check reads: days (the days of the run), until (everything up to the last of them), now (the current state, whatever the days of the run).")
)
OPTIONS (description = "One row per asset check and run.")
