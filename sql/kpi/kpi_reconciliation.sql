CREATE OR REPLACE VIEW ai_usage.kpi_reconciliation (
  vendor OPTIONS (description = "Vendor."),
  usage_date OPTIONS (description = "UTC day."),
  control OPTIONS (description = "day_total, cost_components or actor_types (totals of the vendor), loaded_records (sum of the loaded records, computed outside SQL), or classic_cost_report (a second API, close but not equal by design)."),
  reported_usd OPTIONS (description = "US dollars in fct_cost_daily, billed and included, without seats."),
  control_usd OPTIONS (description = "US dollars of the control total."),
  difference_usd OPTIONS (description = "reported_usd minus control_usd."),
  tolerance_usd OPTIONS (description = "Allowed difference: rounding of rows; for the classic report 0.5% or 0.50 dollars, whichever is more."),
  status OPTIONS (description = "equal, within_tolerance or differs."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate the day."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Reported cost compared with control totals, per vendor, day and control. equal means equal to the last digit; within_tolerance means within the vendor's rounding of rows.")
AS
WITH reported AS (
  SELECT
    vendor,
    usage_date,
    SUM(amount_usd) AS reported_usd
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis <> 'seat'
  GROUP BY vendor, usage_date
), detail AS (
  SELECT vendor, usage_date, records
  FROM ai_usage.int_control_daily
  WHERE control = 'detail'
), control AS (
  SELECT vendor, usage_date, control, amount_usd AS control_usd, records
  FROM ai_usage.int_control_daily
  WHERE control NOT IN ('detail', 'token_classes')
  UNION ALL
  SELECT entry.vendor, entry.usage_date, 'loaded_records', SUM(entry.amount_usd), 0
  FROM ai_usage.ops_asset_days AS entry
  JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = entry.asset
  WHERE entry.completed_at IS NOT NULL
  GROUP BY entry.vendor, entry.usage_date
), compared AS (
  SELECT
    control.vendor,
    control.usage_date,
    control.control,
    COALESCE(reported.reported_usd, 0) AS reported_usd,
    COALESCE(control.control_usd, 0) AS control_usd,
    COALESCE(reported.reported_usd, 0) - COALESCE(control.control_usd, 0) AS difference_usd,
    CASE control.control
      WHEN 'loaded_records' THEN NUMERIC '0'
      WHEN 'classic_cost_report'
        THEN GREATEST(NUMERIC '0.5', CAST(ROUND(ABS(COALESCE(control.control_usd, 0)) * NUMERIC '0.005', 9) AS NUMERIC))
      -- A millionth of a cent for each record on either side, because the vendor can round each record.
      ELSE CAST((COALESCE(detail.records, 0) + control.records) * NUMERIC '0.00000001' AS NUMERIC)
    END AS tolerance_usd
  FROM control
  LEFT JOIN reported ON reported.vendor = control.vendor AND reported.usage_date = control.usage_date
  LEFT JOIN detail ON detail.vendor = control.vendor AND detail.usage_date = control.usage_date
)
SELECT
  compared.vendor,
  compared.usage_date,
  compared.control,
  compared.reported_usd,
  compared.control_usd,
  compared.difference_usd,
  compared.tolerance_usd,
  CASE
    WHEN compared.difference_usd = 0 THEN 'equal'
    WHEN ABS(compared.difference_usd) <= compared.tolerance_usd THEN 'within_tolerance'
    ELSE 'differs'
  END AS status,
  COALESCE(settlement.is_provisional, TRUE) AS is_provisional,
  today.as_of_date
FROM compared
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = compared.usage_date AND settlement.vendor = compared.vendor
