CREATE OR REPLACE VIEW ai_usage.int_seat_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "Vendor."),
  fact_no OPTIONS (description = "Number of the row within its vendor and day, from 1."),
  identity_key OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  user_id OPTIONS (description = "Vendor's id of the member."),
  user_email OPTIONS (description = "E-mail of the member."),
  role OPTIONS (description = "Role of the member; NULL when it is not known."),
  source OPTIONS (description = "Where the seat is taken from: snapshot (of that day), earlier_snapshot, or daily_usage (before the first snapshot)."),
  is_paid OPTIONS (description = "Whether the seat is paid."),
  billing_tier OPTIONS (description = "Seat tier; NULL when the vendor does not report it.")
)
OPTIONS (description = "Seats of all vendors in one common schema: who was a member on which day, and whether the seat is paid.")
AS
SELECT
  usage_date, 'cursor' AS vendor, fact_no, identity_key, user_id, user_email, role, source, is_paid, billing_tier
FROM ai_usage.int_cursor_seat_daily
