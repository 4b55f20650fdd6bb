CREATE OR REPLACE VIEW ai_usage.dim_vendor (
  vendor OPTIONS (description = "Name of the vendor in every table."),
  label OPTIONS (description = "Display name."),
  settle_days OPTIONS (description = "A usage day is final this many days later."),
  settle_day_of_next_month OPTIONS (description = "A usage day is not final before this day of the next month; NULL when the vendor has no such rule."),
  bill_asset OPTIONS (description = "Raw table that holds the vendor's bill."),
  activity_asset OPTIONS (description = "Raw table that lists every seat holder's activity; NULL when the vendor has none."),
  publishes_prices OPTIONS (description = "Whether the vendor publishes list prices: then list_amount_usd is a price before discount, and dim_model_price applies."),
  service_name OPTIONS (description = "Name of the service in the FOCUS export."),
  billing_account_name OPTIONS (description = "Name of the billing account when the vendor's API does not return one."),
  billing_account_type OPTIONS (description = "Type of the billing account in the FOCUS export.")
)
OPTIONS (description = "One row per vendor: its label, when its figures become final, and which data it provides.")
AS
SELECT 'anthropic' AS vendor, 'Anthropic' AS label, CAST(30 AS INT64) AS settle_days, CAST(8 AS INT64) AS settle_day_of_next_month, 'raw_anthropic_cost' AS bill_asset, CAST(NULL AS STRING) AS activity_asset, TRUE AS publishes_prices, 'Claude' AS service_name, CAST(NULL AS STRING) AS billing_account_name, 'Organization' AS billing_account_type
UNION ALL SELECT 'cursor', 'Cursor', 35, CAST(NULL AS INT64), 'raw_cursor_usage_events', 'raw_cursor_daily_usage', FALSE, 'Cursor', 'Cursor team', 'Team'
