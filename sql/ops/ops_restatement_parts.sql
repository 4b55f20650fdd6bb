CREATE TABLE IF NOT EXISTS ai_usage.ops_restatement_parts (
  asset STRING NOT NULL OPTIONS (description = "Raw table."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  usage_date DATE NOT NULL OPTIONS (description = "UTC day that changed."),
  restated_at TIMESTAMP NOT NULL OPTIONS (description = "Time at which the new content was received."),
  run_id STRING NOT NULL OPTIONS (description = "Run that loaded the new content."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or included."),
  dimension STRING NOT NULL OPTIONS (description = "total, model, api_key, workspace or principal."),
  dimension_value STRING OPTIONS (description = "The vendor's id or name; NULL for the total, and where the records name none."),
  old_amount_usd NUMERIC OPTIONS (description = "Dollars before; NULL for a new value."),
  new_amount_usd NUMERIC OPTIONS (description = "Dollars now; NULL for a value that is gone.")
)
OPTIONS (description = "Parts of a restated day: its total, and every model, API key, workspace and principal whose dollars changed. The changes of one dimension add up to the change of the total. A day whose loaded records differed from its day log has no parts.")
