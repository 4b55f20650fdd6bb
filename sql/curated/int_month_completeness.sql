CREATE OR REPLACE VIEW ai_usage.int_month_completeness (
  month OPTIONS (description = "First day of the month."),
  vendor OPTIONS (description = "Vendor."),
  through_date OPTIONS (description = "Last finished day of the month; the current month is month to date."),
  is_month_over OPTIONS (description = "Whether all days of the month are finished."),
  missing_days OPTIONS (description = "Number of finished days of the month on which the vendor's bill is not complete."),
  is_any_day_held OPTIONS (description = "Whether the bill of at least one finished day of the month is loaded."),
  is_previous_month_held OPTIONS (description = "Whether the bill of every day of the previous month is loaded."),
  are_previous_days_held OPTIONS (description = "Whether the month can be compared: the bill is loaded for its finished days and for the same days of the previous month (all days when the month is over)."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a finished day of the month."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
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
), money_day AS (
  SELECT
    vendor,
    DATE_TRUNC(usage_date, MONTH) AS month,
    EXTRACT(DAY FROM usage_date) AS day_of_month,
    -- A day whose last pull failed is still held from an earlier one.
    completed_at IS NOT NULL AS is_held,
    is_missing
  FROM ai_usage.kpi_completeness
  -- Of a vendor that is not used nothing is missing.
  WHERE is_money AND (is_missing OR completed_at IS NOT NULL)
), gap AS (
  SELECT vendor, month, COUNTIF(is_missing) AS missing_days
  FROM money_day
  GROUP BY vendor, month
), comparable AS (
  -- A day that nobody knows of is not held.
  SELECT
    money_day.vendor,
    calendar.month,
    COUNTIF(money_day.is_held) = MAX(EXTRACT(DAY FROM LAST_DAY(money_day.month, MONTH))) AS is_month_held,
    COUNTIF(money_day.is_held AND (calendar.is_month_over OR money_day.day_of_month <= calendar.through_day))
      = MAX(CASE
        WHEN calendar.is_month_over THEN EXTRACT(DAY FROM LAST_DAY(money_day.month, MONTH))
        ELSE LEAST(calendar.through_day, EXTRACT(DAY FROM LAST_DAY(money_day.month, MONTH)))
      END) AS are_days_held
  FROM money_day
  JOIN calendar ON calendar.month = DATE_ADD(money_day.month, INTERVAL 1 MONTH)
  GROUP BY money_day.vendor, calendar.month
)
SELECT
  calendar.month,
  gap.vendor,
  calendar.through_date,
  calendar.is_month_over,
  gap.missing_days,
  gap.missing_days < calendar.through_day AS is_any_day_held,
  COALESCE(comparable.is_month_held, FALSE) AS is_previous_month_held,
  -- A month of which days are missing is less than it was.
  COALESCE(comparable.are_days_held AND gap.missing_days = 0, FALSE) AS are_previous_days_held,
  settlement.is_provisional,
  calendar.as_of_date
FROM calendar
JOIN gap ON gap.month = calendar.month
LEFT JOIN settlement ON settlement.vendor = gap.vendor AND settlement.month = calendar.month
LEFT JOIN comparable ON comparable.vendor = gap.vendor AND comparable.month = calendar.month
