CREATE OR REPLACE VIEW ai_usage.kpi_budget_vs_actual (
  month OPTIONS (description = "First day of the month."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated, which has no budget."),
  budget_status OPTIONS (description = "budgeted; unspent (budget without spend); missing (spend or projection without a budget); duplicate (several budgets for the month), negative or rejected (unreadable) when the row of the sheet is not used; unallocated for spend without a cost center."),
  budget_note OPTIONS (description = "First row of the sheet that is not used, the reason, and what to do; NULL when all rows are used."),
  budget_usd OPTIONS (description = "Budget of the month in US dollars; NULL without a usable budget."),
  spend_usd OPTIONS (description = "Billed and seat US dollars of the month, to date for the current month; NULL when there are none."),
  billed_usd OPTIONS (description = "US dollars owed on top of seats; NULL when there are none."),
  seat_usd OPTIONS (description = "Seat fees in US dollars; NULL when there are none, or when no price is known."),
  variance_usd OPTIONS (description = "Spend minus the budget of the month; positive = over budget. NULL without a budget, or when no day of the month is loaded."),
  used_ratio OPTIONS (description = "Spend divided by the budget: 0.80 = 80% used; NULL like the variance, and for a budget of 0."),
  business_days OPTIONS (description = "Number of Mondays to Fridays of the month within the calendar; NULL for a future month."),
  elapsed_business_days OPTIONS (description = "Number of business days up to through_date that are complete for every vendor in use."),
  pace_ratio OPTIONS (description = "Spend divided by the budget of the elapsed complete business days; above 1 = ahead of the budget. NULL without a budget or before the first such day. Spend of other days is included."),
  projected_usd OPTIONS (description = "Forecast of the month from kpi_forecast; NULL for other months than the current one, and without a forecast."),
  projected_low_usd OPTIONS (description = "Lower bound of the projection; NULL with fewer than 3 past months."),
  projected_high_usd OPTIONS (description = "Upper bound of the projection; NULL with fewer than 3 past months."),
  projected_variance_usd OPTIONS (description = "Projection minus the budget; positive = the budget is exceeded."),
  through_date OPTIONS (description = "Last finished day of the month that is loaded for at least one vendor; NULL when there is none."),
  missing_days OPTIONS (description = "Number of finished days of the month on which the bill of a vendor is not complete, so that spend is too low. NULL for a future month."),
  is_provisional OPTIONS (description = "Whether a vendor can still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Budget and spend (billed and seat) by cost center and month: variance, pace by business days, and projection. Missing, duplicate, negative and unreadable budgets have their own status and are never estimated. stg_budget_rejects lists the rows that are not used.")
AS
WITH projection AS (
  SELECT month, cost_center, forecast_usd, low_usd, high_usd
  FROM ai_usage.int_forecast_origin
  WHERE is_live AND scope = 'cost_center'
), spend AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    cost_center,
    SUM(amount_usd) AS spend_usd,
    SUM(CASE WHEN cost_basis = 'billed' THEN amount_usd END) AS billed_usd,
    SUM(CASE WHEN cost_basis = 'seat' THEN amount_usd END) AS seat_usd,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis IN ('billed', 'seat') AND amount_usd IS NOT NULL
  GROUP BY DATE_TRUNC(usage_date, MONTH), cost_center
), reject AS (
  SELECT month, cost_center, problem, CONCAT('row ', CAST(row_no AS STRING), ': ', reject_reason) AS budget_note
  FROM ai_usage.stg_budget_rejects
  WHERE month IS NOT NULL AND cost_center IS NOT NULL
  QUALIFY ROW_NUMBER() OVER (PARTITION BY month, cost_center ORDER BY row_no) = 1
), bill_day AS (
  SELECT
    entry.usage_date,
    -- A day whose last attempt failed keeps the data of an earlier one.
    LOGICAL_OR(entry.completed_at IS NOT NULL) AS is_any_loaded,
    LOGICAL_OR(entry.is_missing) AS is_any_missing,
    -- A vendor that was not configured, or does not expose the day, does not make it partial.
    LOGICAL_OR(entry.completed_at IS NULL AND entry.status NOT IN ('not_configured', 'not_exposed')) AS is_partial,
    LOGICAL_OR(settlement.is_provisional) AS is_provisional
  FROM ai_usage.kpi_completeness AS entry
  JOIN ai_usage.int_settlement_daily AS settlement
    ON settlement.usage_date = entry.usage_date AND settlement.vendor = entry.vendor
    AND settlement.usage_date < settlement.as_of_date
  WHERE entry.is_bill AND (entry.is_missing OR entry.completed_at IS NOT NULL)
  GROUP BY entry.usage_date
), loaded_month AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    MAX(CASE WHEN is_any_loaded THEN usage_date END) AS through_date,
    COUNTIF(is_any_missing) AS missing_days,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM bill_day
  GROUP BY DATE_TRUNC(usage_date, MONTH)
), calendar AS (
  SELECT
    day.month,
    MAX(loaded_month.through_date) AS through_date,
    COALESCE(MAX(loaded_month.missing_days), 0) AS missing_days,
    COALESCE(LOGICAL_OR(loaded_month.is_provisional), TRUE) AS is_provisional,
    COUNTIF(day.is_business_day) AS business_days,
    COUNTIF(day.is_business_day AND bill_day.is_any_loaded AND NOT bill_day.is_partial) AS elapsed_business_days
  FROM ai_usage.dim_date AS day
  LEFT JOIN bill_day ON bill_day.usage_date = day.usage_date
  LEFT JOIN loaded_month ON loaded_month.month = day.month
  GROUP BY day.month
), month_cost_center AS (
  SELECT month, cost_center
  FROM spend
  UNION DISTINCT
  SELECT month, cost_center
  FROM ai_usage.stg_budgets
  UNION DISTINCT
  SELECT month, cost_center
  FROM reject
  UNION DISTINCT
  -- Cost centers with a projection but without spend or budget, so that projections add up to kpi_forecast_total.
  SELECT month, cost_center
  FROM projection
), line AS (
  SELECT
    month_cost_center.month,
    month_cost_center.cost_center,
    CASE
      WHEN month_cost_center.cost_center IS NULL THEN 'unallocated'
      WHEN budget.budget_usd IS NOT NULL AND spend.month IS NULL THEN 'unspent'
      WHEN budget.budget_usd IS NOT NULL THEN 'budgeted'
      WHEN reject.problem IN ('duplicate', 'negative') THEN reject.problem
      WHEN reject.problem IS NOT NULL THEN 'rejected'
      ELSE 'missing'
    END AS budget_status,
    reject.budget_note,
    budget.budget_usd,
    spend.spend_usd,
    -- When days are loaded, a cost center without rows has spent zero.
    CASE WHEN calendar.through_date IS NOT NULL THEN COALESCE(spend.spend_usd, 0) END AS counted_usd,
    spend.billed_usd,
    spend.seat_usd,
    calendar.business_days,
    calendar.elapsed_business_days,
    calendar.through_date,
    calendar.missing_days,
    COALESCE(spend.is_provisional, calendar.is_provisional, TRUE) AS is_provisional
  FROM month_cost_center
  LEFT JOIN spend
    ON spend.month = month_cost_center.month AND COALESCE(spend.cost_center, '') = COALESCE(month_cost_center.cost_center, '')
  LEFT JOIN ai_usage.stg_budgets AS budget
    ON budget.month = month_cost_center.month AND budget.cost_center = month_cost_center.cost_center
  LEFT JOIN reject ON reject.month = month_cost_center.month AND reject.cost_center = month_cost_center.cost_center
  LEFT JOIN calendar ON calendar.month = month_cost_center.month
)
SELECT
  line.month,
  line.cost_center,
  line.budget_status,
  line.budget_note,
  line.budget_usd,
  line.spend_usd,
  line.billed_usd,
  line.seat_usd,
  line.counted_usd - line.budget_usd AS variance_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(line.counted_usd, line.budget_usd) AS NUMERIC), 6) AS NUMERIC) AS used_ratio,
  line.business_days,
  line.elapsed_business_days,
  CAST(ROUND(CAST(SAFE_DIVIDE(
    line.counted_usd * line.business_days, line.budget_usd * line.elapsed_business_days
  ) AS NUMERIC), 6) AS NUMERIC) AS pace_ratio,
  projection.forecast_usd AS projected_usd,
  projection.low_usd AS projected_low_usd,
  projection.high_usd AS projected_high_usd,
  projection.forecast_usd - line.budget_usd AS projected_variance_usd,
  line.through_date,
  line.missing_days,
  line.is_provisional,
  today.as_of_date
FROM line
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
LEFT JOIN projection
  ON projection.month = line.month
  AND COALESCE(projection.cost_center, '') = COALESCE(line.cost_center, '')
