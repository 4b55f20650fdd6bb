CREATE OR REPLACE VIEW ai_usage.kpi_spend_by_person (
  month OPTIONS (description = "First day of the month."),
  vendor OPTIONS (description = "Vendor."),
  person_email OPTIONS (description = "Person; NULL for spend without a person (service accounts, shared keys, unallocated)."),
  name OPTIONS (description = "Name."),
  team OPTIONS (description = "Team on the day; a person who changed teams has a row for each."),
  cost_center OPTIONS (description = "Cost center on the day."),
  spend_usd OPTIONS (description = "Billed and seat US dollars."),
  included_usd OPTIONS (description = "Usage that a seat or pool covers, in US dollars at vendor rates. Not part of the spend."),
  requests OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  active_days OPTIONS (description = "Number of days with usage of the vendor."),
  active_days_all_vendors OPTIONS (description = "Number of days with usage of any vendor, for the same person, team and cost center."),
  person_rank OPTIONS (description = "Rank of the person by spend in the month over all vendors, 1 = highest; NULL without a person."),
  share_of_spend OPTIONS (description = "Share of the month's spend of all vendors; NULL when credits leave no positive total."),
  is_provisional OPTIONS (description = "Whether a vendor can still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Spend per month, person and vendor, ranked. Spend without a person keeps a row per team and cost center, so that the rows of a month add up to its spend.")
AS
WITH daily AS (
  SELECT
    usage_date,
    vendor,
    person_email,
    team,
    cost_center,
    SUM(CASE WHEN cost_basis <> 'included' THEN amount_usd END) AS spend_usd,
    SUM(CASE WHEN cost_basis = 'included' THEN amount_usd END) AS included_usd,
    SUM(requests) AS requests,
    LOGICAL_OR(cost_basis <> 'seat') AS is_active,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.fct_cost_daily
  GROUP BY usage_date, vendor, person_email, team, cost_center
), numbered AS (
  -- A day on which several vendors were used is one active day of the person.
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY usage_date, person_email, team, cost_center ORDER BY is_active DESC, vendor
    ) AS vendor_no
  FROM daily
), monthly AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    vendor,
    person_email,
    team,
    cost_center,
    COALESCE(SUM(spend_usd), 0) AS spend_usd,
    SUM(included_usd) AS included_usd,
    CAST(SUM(requests) AS INT64) AS requests,
    COUNTIF(is_active) AS active_days,
    COUNTIF(is_active AND vendor_no = 1) AS distinct_active_days,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM numbered
  GROUP BY DATE_TRUNC(usage_date, MONTH), vendor, person_email, team, cost_center
), latest_name AS (
  SELECT person_email, name
  FROM ai_usage.dim_person
  QUALIFY ROW_NUMBER() OVER (PARTITION BY person_email ORDER BY effective_from DESC) = 1
), ranked AS (
  SELECT
    month,
    person_email,
    RANK() OVER (PARTITION BY month ORDER BY SUM(spend_usd) DESC) AS person_rank
  FROM monthly
  WHERE person_email IS NOT NULL
  GROUP BY month, person_email
)
SELECT
  monthly.month,
  monthly.vendor,
  monthly.person_email,
  latest_name.name,
  monthly.team,
  monthly.cost_center,
  monthly.spend_usd,
  monthly.included_usd,
  monthly.requests,
  monthly.active_days,
  CAST(SUM(monthly.distinct_active_days) OVER (
    PARTITION BY monthly.month, monthly.person_email, monthly.team, monthly.cost_center
  ) AS INT64) AS active_days_all_vendors,
  ranked.person_rank,
  CASE
    WHEN SUM(monthly.spend_usd) OVER (PARTITION BY monthly.month) > 0 THEN CAST(ROUND(CAST(SAFE_DIVIDE(
      monthly.spend_usd, SUM(monthly.spend_usd) OVER (PARTITION BY monthly.month)
    ) AS NUMERIC), 6) AS NUMERIC)
  END AS share_of_spend,
  monthly.is_provisional,
  today.as_of_date
FROM monthly
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
LEFT JOIN latest_name ON latest_name.person_email = monthly.person_email
LEFT JOIN ranked ON ranked.month = monthly.month AND ranked.person_email = monthly.person_email
