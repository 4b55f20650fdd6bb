CREATE TABLE IF NOT EXISTS ai_usage.int_month_completeness (
  month DATE NOT NULL OPTIONS (description = "First day of the month."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  through_date DATE NOT NULL OPTIONS (description = "Last finished day of the month; the current month is month to date."),
  is_month_over BOOL NOT NULL OPTIONS (description = "Whether all days of the month are finished."),
  missing_days INT64 NOT NULL OPTIONS (description = "Number of finished days of the month on which the vendor's bill is not complete."),
  has_loaded_days BOOL NOT NULL OPTIONS (description = "Whether the bill of at least one finished day of the month is loaded."),
  is_previous_month_loaded BOOL NOT NULL OPTIONS (description = "Whether the bill of every day of the previous month is loaded."),
  is_comparable BOOL NOT NULL OPTIONS (description = "Whether the month can be compared: the bill is loaded for its finished days and for the same days of the previous month (all days when the month is over)."),
  is_provisional BOOL OPTIONS (description = "Whether the vendor can still restate a finished day of the month."),
  as_of_date DATE NOT NULL OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Completeness of the bill per month and vendor in use, and whether the month can be compared with the previous month. Every comparison with the previous month uses this rule.")
AS
WITH calendar AS (
  SELECT
    month,
    MAX(usage_date) AS through_date,
    MAX(EXTRACT(DAY FROM usage_date)) AS through_day,
    MAX(EXTRACT(DAY FROM usage_date)) = MAX(days_in_month) AS is_month_over,
    MAX(as_of_date) AS as_of_date
  FROM ai_usage.dim_date
  WHERE is_over
  GROUP BY month
), settlement AS (
  SELECT DATE_TRUNC(usage_date, MONTH) AS month, vendor, LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.int_settlement_daily
  WHERE usage_date < as_of_date
  GROUP BY DATE_TRUNC(usage_date, MONTH), vendor
), bill_day AS (
  SELECT
    vendor,
    DATE_TRUNC(usage_date, MONTH) AS month,
    EXTRACT(DAY FROM usage_date) AS day_of_month,
    -- A day whose last attempt failed keeps the data of an earlier one.
    completed_at IS NOT NULL AS is_loaded,
    is_missing
  FROM ai_usage.kpi_completeness
  -- A vendor that is not in use has no missing days.
  WHERE is_bill AND (is_missing OR completed_at IS NOT NULL)
), missing AS (
  SELECT vendor, month, COUNTIF(is_missing) AS missing_days
  FROM bill_day
  GROUP BY vendor, month
), comparable AS (
  -- A day without a row was never loaded.
  SELECT
    bill_day.vendor,
    calendar.month,
    COUNTIF(bill_day.is_loaded) = MAX(EXTRACT(DAY FROM LAST_DAY(bill_day.month, MONTH))) AS is_month_loaded,
    COUNTIF(bill_day.is_loaded AND (calendar.is_month_over OR bill_day.day_of_month <= calendar.through_day))
      = MAX(CASE
        WHEN calendar.is_month_over THEN EXTRACT(DAY FROM LAST_DAY(bill_day.month, MONTH))
        ELSE LEAST(calendar.through_day, EXTRACT(DAY FROM LAST_DAY(bill_day.month, MONTH)))
      END) AS are_days_loaded
  FROM bill_day
  JOIN calendar ON calendar.month = DATE_ADD(bill_day.month, INTERVAL 1 MONTH)
  GROUP BY bill_day.vendor, calendar.month
)
SELECT
  calendar.month,
  missing.vendor,
  calendar.through_date,
  calendar.is_month_over,
  missing.missing_days,
  missing.missing_days < calendar.through_day AS has_loaded_days,
  COALESCE(comparable.is_month_loaded, FALSE) AS is_previous_month_loaded,
  -- A month with missing days cannot be compared: its spend is too low.
  COALESCE(comparable.are_days_loaded AND missing.missing_days = 0, FALSE) AS is_comparable,
  settlement.is_provisional,
  calendar.as_of_date
FROM calendar
JOIN missing ON missing.month = calendar.month
LEFT JOIN settlement ON settlement.vendor = missing.vendor AND settlement.month = calendar.month
LEFT JOIN comparable ON comparable.vendor = missing.vendor AND comparable.month = calendar.month
