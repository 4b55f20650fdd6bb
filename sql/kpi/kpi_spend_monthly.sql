CREATE OR REPLACE VIEW ai_usage.kpi_spend_monthly (
  month OPTIONS (description = "First day of the month."),
  vendor OPTIONS (description = "Vendor."),
  team OPTIONS (description = "Team; NULL when it is not known."),
  cost_center OPTIONS (description = "Cost center; NULL = unallocated."),
  through_date OPTIONS (description = "Last finished day of the month; the current month is month to date."),
  billed_usd OPTIONS (description = "US dollars owed on top of seats; NULL when there are none."),
  seat_usd OPTIONS (description = "Seat fees in US dollars; NULL when there are none, or when no price is known."),
  spend_usd OPTIONS (description = "Billed and seat US dollars."),
  included_usd OPTIONS (description = "Usage that a seat or pool covers, in US dollars at vendor rates. Not part of the spend."),
  previous_month_usd OPTIONS (description = "Spend of the complete previous month; NULL unless all of its days are loaded."),
  previous_same_days_usd OPTIONS (description = "Spend of the previous month up to the same day (all of it when this month is over); NULL unless these days and those of this month are loaded."),
  change_usd OPTIONS (description = "Spend minus the spend of the same days of the previous month; NULL unless the days of both are loaded."),
  change_ratio OPTIONS (description = "Change divided by the spend of the same days of the previous month: 0.10 = 10% more; NULL when that is not positive."),
  missing_days OPTIONS (description = "Number of finished days of the month on which the vendor's bill is not complete."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Spend per month, vendor, team and cost center, compared with the previous month and with the same days of the previous month. A team that stopped spending keeps its row.")
AS
WITH daily AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    EXTRACT(DAY FROM usage_date) AS day_of_month,
    vendor,
    team,
    cost_center,
    billed_usd,
    seat_usd,
    spend_usd,
    included_usd,
    is_provisional
  FROM ai_usage.kpi_spend_daily
), line AS (
  -- Each day counts for its own month and as the previous month of the next one.
  SELECT
    month, vendor, team, cost_center, billed_usd, seat_usd, spend_usd, included_usd, is_provisional,
    CAST(NULL AS NUMERIC) AS previous_usd, 0 AS previous_day
  FROM daily
  UNION ALL
  SELECT
    DATE_ADD(daily.month, INTERVAL 1 MONTH), daily.vendor, daily.team, daily.cost_center, CAST(NULL AS NUMERIC),
    CAST(NULL AS NUMERIC), CAST(NULL AS NUMERIC), CAST(NULL AS NUMERIC), CAST(NULL AS BOOL), daily.spend_usd, daily.day_of_month
  FROM daily
  -- A team that stopped spending is part of the comparison.
  JOIN ai_usage.int_month_completeness AS later
    ON later.vendor = daily.vendor AND later.month = DATE_ADD(daily.month, INTERVAL 1 MONTH)
), monthly AS (
  SELECT
    line.month,
    line.vendor,
    line.team,
    line.cost_center,
    SUM(line.billed_usd) AS billed_usd,
    SUM(line.seat_usd) AS seat_usd,
    COALESCE(SUM(line.spend_usd), 0) AS spend_usd,
    SUM(line.included_usd) AS included_usd,
    SUM(line.previous_usd) AS previous_usd,
    SUM(CASE
      WHEN completeness.is_month_over OR line.previous_day <= EXTRACT(DAY FROM completeness.through_date) THEN line.previous_usd
    END) AS previous_same_days_usd,
    LOGICAL_OR(line.is_provisional) AS is_provisional
  FROM line
  LEFT JOIN ai_usage.int_month_completeness AS completeness
    ON completeness.vendor = line.vendor AND completeness.month = line.month
  GROUP BY line.month, line.vendor, line.team, line.cost_center
)
SELECT
  monthly.month,
  monthly.vendor,
  monthly.team,
  monthly.cost_center,
  completeness.through_date,
  monthly.billed_usd,
  monthly.seat_usd,
  monthly.spend_usd,
  monthly.included_usd,
  CASE WHEN completeness.is_previous_month_loaded THEN COALESCE(monthly.previous_usd, 0) END AS previous_month_usd,
  CASE WHEN completeness.is_comparable THEN COALESCE(monthly.previous_same_days_usd, 0) END AS previous_same_days_usd,
  CASE
    WHEN completeness.is_comparable THEN monthly.spend_usd - COALESCE(monthly.previous_same_days_usd, 0)
  END AS change_usd,
  CASE
    -- A ratio to a negative amount has no meaning.
    WHEN completeness.is_comparable AND monthly.previous_same_days_usd > 0 THEN CAST(ROUND(CAST(SAFE_DIVIDE(
      monthly.spend_usd - monthly.previous_same_days_usd, monthly.previous_same_days_usd
    ) AS NUMERIC), 4) AS NUMERIC)
  END AS change_ratio,
  COALESCE(completeness.missing_days, 0) AS missing_days,
  -- A month without spend yet can still receive some.
  COALESCE(monthly.is_provisional, completeness.is_provisional) AS is_provisional,
  today.as_of_date
FROM monthly
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
LEFT JOIN ai_usage.int_month_completeness AS completeness
  ON completeness.vendor = monthly.vendor AND completeness.month = monthly.month
