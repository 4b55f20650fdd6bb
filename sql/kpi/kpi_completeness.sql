CREATE OR REPLACE VIEW ai_usage.kpi_completeness (
  vendor OPTIONS (description = "Source: a vendor, or sheet."),
  asset OPTIONS (description = "Raw table; for the sheet with the name of the tab."),
  usage_date OPTIONS (description = "UTC day; for directories and the sheet, the day of the read."),
  is_money OPTIONS (description = "Whether the raw table holds the vendor's bill."),
  is_missing OPTIONS (description = "Whether data is missing: a finished day of a vendor in use that was never loaded. A vendor is in use when any day was loaded or requested with a key, and until the end of the next month after its key is removed. Data that the key or plan cannot access is missing only for the bill."),
  status OPTIONS (description = "complete (loaded and final), provisional (loaded, and the vendor can still restate it), incomplete (the vendor's data does not reach the end of the day yet), failed (the last attempt failed; earlier data is kept), not_exposed (the key or plan has no access), not_configured (no key), not_loaded (no run has requested the day)."),
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
WITH wanted AS (
  SELECT DISTINCT entry.vendor, entry.asset, day.usage_date
  FROM ai_usage.ops_asset_days AS entry
  CROSS JOIN ai_usage.dim_date AS day
  WHERE entry.is_daily AND day.is_over
  UNION DISTINCT
  SELECT vendor, asset, usage_date
  FROM ai_usage.ops_asset_days
), due AS (
  SELECT wanted.vendor, wanted.asset, wanted.usage_date, COALESCE(wanted.asset = vendor.bill_asset, FALSE) AS is_money
  FROM wanted
  LEFT JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = wanted.vendor
), used AS (
  -- Whether a key was lost or given up is not to be told apart; for so long it is taken for lost.
  SELECT vendor, LAST_DAY(DATE_ADD(MAX(usage_date), INTERVAL 1 MONTH), MONTH) AS last_day
  FROM ai_usage.ops_asset_days
  WHERE completed_at IS NOT NULL OR status <> 'not_configured'
  GROUP BY vendor
)
SELECT
  due.vendor,
  due.asset,
  due.usage_date,
  due.is_money,
  COALESCE(
    day.is_over
    AND entry.completed_at IS NULL
    AND used.vendor IS NOT NULL
    AND (due.usage_date <= used.last_day OR COALESCE(entry.status, 'not_loaded') <> 'not_configured')
    AND (due.is_money OR COALESCE(entry.status, 'not_loaded') <> 'not_exposed'),
    FALSE
  ) AS is_missing,
  CASE
    WHEN entry.status IS NULL THEN 'not_loaded'
    WHEN entry.status = 'complete' AND NOT entry.is_daily THEN 'complete'
    -- Final is what was read after the vendor had settled it, not what has merely grown old.
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
FROM due
LEFT JOIN ai_usage.ops_asset_days AS entry
  ON entry.asset = due.asset AND entry.usage_date = due.usage_date
LEFT JOIN ai_usage.dim_date AS day ON day.usage_date = due.usage_date
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = due.usage_date AND settlement.vendor = due.vendor
LEFT JOIN used ON used.vendor = due.vendor
