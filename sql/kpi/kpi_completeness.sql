CREATE OR REPLACE VIEW ai_usage.kpi_completeness (
  vendor OPTIONS (description = "anthropic, cursor or sheet."),
  asset OPTIONS (description = "Raw table; for the sheet with its tab."),
  usage_date OPTIONS (description = "UTC day; for directories and the sheet the day of the read."),
  is_money OPTIONS (description = "Whether the day's bill depends on it."),
  is_missing OPTIONS (description = "Whether it should be there and is not: a finished day, never held, of a vendor that is used. Used is one of which any day was held, or asked for with a key; when its key is taken away, until the end of the month after. What a key or plan may not see is missing only where the bill depends on it."),
  status OPTIONS (description = "complete (held whole and final), provisional (held whole, the vendor may still restate it), incomplete (the vendor's data does not reach the end of the day yet), failed (the last attempt; what was held before is kept), not_exposed (this key or plan may not see it), not_configured (no key), not_loaded (no run has asked for it)."),
  records OPTIONS (description = "Records held."),
  amount_usd OPTIONS (description = "Dollars in the records held, where they carry any."),
  watermark OPTIONS (description = "How far the vendor said its data reaches."),
  message OPTIONS (description = "Why, and what to do; NULL when all is well."),
  attempted_at OPTIONS (description = "When it was last tried."),
  completed_at OPTIONS (description = "When a pull of this day was last complete."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date.")
)
OPTIONS (description = "For every vendor, raw table and day: is it there, is it final, and if not, why. A finished day that no run has asked for is `not_loaded`.")
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
