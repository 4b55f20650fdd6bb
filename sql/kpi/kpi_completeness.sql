CREATE OR REPLACE VIEW ai_usage.kpi_completeness (
  vendor OPTIONS (description = "Source: a vendor, or sheet."),
  asset OPTIONS (description = "Raw table; for the sheet with the name of the tab."),
  usage_date OPTIONS (description = "UTC day; for directories and the sheet, the day of the read."),
  is_bill OPTIONS (description = "Whether the raw table holds the vendor's bill."),
  is_missing OPTIONS (description = "Whether data is missing: a finished day of a vendor in use that was never loaded. A vendor is in use when any day was loaded or requested with a key, and until the end of the next month after its key is removed. Data that the key or plan cannot access is missing only for the bill."),
  status OPTIONS (description = "complete (loaded and final), provisional (loaded, and the vendor can still restate it), incomplete (the vendor's data does not cover the whole day yet), failed (the last attempt failed; earlier data is kept), not_exposed (the key or plan has no access), not_configured (no key), not_loaded (no run has requested the day)."),
  records OPTIONS (description = "Number of loaded records."),
  amount_usd OPTIONS (description = "US dollars in the loaded records; NULL when the records have no amounts."),
  watermark OPTIONS (description = "Time up to which the vendor reports its data as complete."),
  message OPTIONS (description = "Reason and remedy; NULL when there is no problem."),
  attempted_at OPTIONS (description = "Time of the last attempt."),
  completed_at OPTIONS (description = "Time of the last complete extract of the day."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Status of every raw table and day: loaded, final, or the reason why not. A finished day that no run has requested is `not_loaded`.")
AS
WITH expected_days AS (
  SELECT DISTINCT entry.vendor, entry.asset, day.usage_date
  FROM ai_usage.ops_asset_days AS entry
  CROSS JOIN ai_usage.dim_date AS day
  WHERE entry.is_daily AND day.is_over
  UNION DISTINCT
  SELECT vendor, asset, usage_date
  FROM ai_usage.ops_asset_days
), expected AS (
  SELECT
    expected_days.vendor, expected_days.asset, expected_days.usage_date,
    COALESCE(expected_days.asset = vendor.bill_asset, FALSE) AS is_bill
  FROM expected_days
  LEFT JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = expected_days.vendor
), vendor_in_use AS (
  -- A removed key can be a mistake or intended; until the end of the next month it counts as a mistake.
  SELECT vendor, LAST_DAY(DATE_ADD(MAX(usage_date), INTERVAL 1 MONTH), MONTH) AS last_day
  FROM ai_usage.ops_asset_days
  WHERE completed_at IS NOT NULL OR status <> 'not_configured'
  GROUP BY vendor
)
SELECT
  expected.vendor,
  expected.asset,
  expected.usage_date,
  expected.is_bill,
  COALESCE(
    day.is_over
    AND entry.completed_at IS NULL
    AND vendor_in_use.vendor IS NOT NULL
    AND (expected.usage_date <= vendor_in_use.last_day OR COALESCE(entry.status, 'not_loaded') <> 'not_configured')
    AND (expected.is_bill OR COALESCE(entry.status, 'not_loaded') <> 'not_exposed'),
    FALSE
  ) AS is_missing,
  CASE
    WHEN entry.status IS NULL THEN 'not_loaded'
    WHEN entry.status = 'complete' AND NOT entry.is_daily THEN 'complete'
    -- A day is final only when it was read after the vendor settled it.
    WHEN entry.status = 'complete' AND DATE(entry.completed_at) >= settlement.settles_on THEN 'complete'
    WHEN entry.status = 'complete' THEN 'provisional'
    ELSE entry.status
  END AS status,
  entry.records,
  entry.amount_usd,
  entry.watermark,
  entry.message,
  entry.attempted_at,
  entry.completed_at,
  day.as_of_date
FROM expected
LEFT JOIN ai_usage.ops_asset_days AS entry
  ON entry.asset = expected.asset AND entry.usage_date = expected.usage_date
LEFT JOIN ai_usage.dim_date AS day ON day.usage_date = expected.usage_date
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = expected.usage_date AND settlement.vendor = expected.vendor
LEFT JOIN vendor_in_use ON vendor_in_use.vendor = expected.vendor
