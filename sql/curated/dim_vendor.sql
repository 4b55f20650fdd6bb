CREATE OR REPLACE VIEW ai_usage.dim_vendor (
  vendor OPTIONS (description = "Name of the vendor in every table."),
  label OPTIONS (description = "Display name."),
  settle_days OPTIONS (description = "Number of days after which a usage day is final."),
  settle_day_of_next_month OPTIONS (description = "Day of the next month before which a usage day is not final; NULL when the vendor has no such rule."),
  bill_asset OPTIONS (description = "Raw table that holds the vendor's bill."),
  activity_asset OPTIONS (description = "Raw table that lists the activity of seat holders; NULL when the vendor has none."),
  has_seats OPTIONS (description = "Whether the vendor's API lists who holds a seat."),
  publishes_prices OPTIONS (description = "Whether the vendor publishes list prices."),
  single_cost_basis OPTIONS (description = "Cost basis of all the vendor's usage; NULL when usage has several."),
  activity_product OPTIONS (description = "Product that the vendor's activity belongs to; NULL = all products."),
  service_name OPTIONS (description = "Name of the service in the FOCUS export."),
  billing_account_name OPTIONS (description = "Name of the billing account; NULL when the vendor's directory has it."),
  billing_account_type OPTIONS (description = "Type of the billing account in the FOCUS export.")
)
OPTIONS (description = "One row per vendor: its label, when its figures become final, and which data it provides.")
AS
SELECT 'anthropic' AS vendor, 'Anthropic' AS label, CAST(30 AS INT64) AS settle_days, CAST(8 AS INT64) AS settle_day_of_next_month, 'raw_anthropic_cost' AS bill_asset, CAST(NULL AS STRING) AS activity_asset, FALSE AS has_seats, TRUE AS publishes_prices, 'billed' AS single_cost_basis, 'claude_code' AS activity_product, 'Claude' AS service_name, CAST(NULL AS STRING) AS billing_account_name, 'Organization' AS billing_account_type
UNION ALL SELECT 'cursor', 'Cursor', 35, NULL, 'raw_cursor_usage_events', 'raw_cursor_daily_usage', TRUE, FALSE, NULL, NULL, 'Cursor', 'Cursor team', 'Team'
