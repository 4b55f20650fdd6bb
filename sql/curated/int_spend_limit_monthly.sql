CREATE OR REPLACE VIEW ai_usage.int_spend_limit_monthly (
  snapshot_date OPTIONS (description = "UTC day of the last spend snapshot of the month."),
  vendor OPTIONS (description = "Vendor."),
  holder OPTIONS (description = "E-mail of the member, or the id when there is no e-mail."),
  limit_usd OPTIONS (description = "US dollars that the member may spend on demand in a billing cycle; NULL when no limit is set."),
  on_demand_usd OPTIONS (description = "US dollars spent on demand in the billing cycle so far.")
)
OPTIONS (description = "Spend limits of the members of all vendors, from the last spend snapshot of each month.")
AS
SELECT snapshot_date, 'cursor' AS vendor, holder, limit_usd, on_demand_usd
FROM ai_usage.int_cursor_limit_monthly
