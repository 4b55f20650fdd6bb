-- Every day of a month for each vendor in use: whether its bill is loaded, when it is final, and its spend.
WITH bill_days AS (
  SELECT entry.vendor, entry.usage_date, entry.status, entry.completed_at, entry.message
  FROM ai_usage.ops_asset_days AS entry
  JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = entry.vendor AND vendor.bill_asset = entry.asset
), used_vendors AS (
  SELECT DISTINCT vendor
  FROM bill_days
  WHERE completed_at IS NOT NULL OR status NOT IN ('not_configured', 'not_exposed')
), spend AS (
  SELECT usage_date, vendor, SUM(amount_usd) AS amount_usd
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis <> 'included' AND usage_date BETWEEN @first_day AND @last_day
  GROUP BY usage_date, vendor
)
SELECT
  used_vendors.vendor,
  month_day AS usage_date,
  settlement.settles_on,
  bill_days.status,
  bill_days.completed_at,
  bill_days.message,
  spend.amount_usd
FROM UNNEST(GENERATE_DATE_ARRAY(@first_day, @last_day)) AS month_day
CROSS JOIN used_vendors
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = month_day AND settlement.vendor = used_vendors.vendor
LEFT JOIN bill_days ON bill_days.vendor = used_vendors.vendor AND bill_days.usage_date = month_day
LEFT JOIN spend ON spend.vendor = used_vendors.vendor AND spend.usage_date = month_day
ORDER BY used_vendors.vendor, month_day
