CREATE OR REPLACE VIEW ai_usage.int_settlement_daily (
  usage_date OPTIONS (description = "UTC day."),
  vendor OPTIONS (description = "Vendor."),
  settles_on OPTIONS (description = "First UTC day on which the vendor's figures for the day are final."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate the day, as of the last run."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "When each day of each vendor is final, from the settlement rules of dim_vendor.")
AS
WITH settlement AS (
  SELECT
    calendar.usage_date,
    vendor.vendor,
    GREATEST(
      DATE_ADD(calendar.usage_date, INTERVAL vendor.settle_days DAY),
      DATE_ADD(
        DATE_ADD(calendar.month, INTERVAL 1 MONTH), INTERVAL COALESCE(vendor.settle_day_of_next_month, 1) - 1 DAY
      )
    ) AS settles_on,
    calendar.as_of_date
  FROM ai_usage.dim_date AS calendar
  CROSS JOIN ai_usage.dim_vendor AS vendor
)
SELECT
  usage_date,
  vendor,
  settles_on,
  as_of_date < settles_on AS is_provisional,
  as_of_date
FROM settlement
