CREATE OR REPLACE VIEW ai_usage.kpi_productivity (
  month OPTIONS (description = "First day of the month; the current month is month to date."),
  vendor OPTIONS (description = "Vendor. Vendors count different things and must not be compared with each other."),
  team OPTIONS (description = "Team on the day; NULL for people without a team and for keys. This view never shows a person."),
  people OPTIONS (description = "Number of people of the team who were active with the vendor in the month."),
  spend_usd OPTIONS (description = "Billed and seat US dollars of the vendor's activity product (see dim_vendor). Included usage is not part of it, and neither are seats that the vendor's API does not list."),
  commits OPTIONS (description = "Number of commits that the vendor's tool made. NULL where the vendor does not count them, and for a withheld cohort."),
  pull_requests OPTIONS (description = "Number of pull requests that the vendor's tool made. NULL where the vendor does not count them, and for a withheld cohort."),
  lines_accepted OPTIONS (description = "Suggested lines that people accepted. Agents write code without suggestions to accept, so this undercounts teams that use agents. NULL where the vendor does not count them, and for a withheld cohort."),
  usd_per_commit OPTIONS (description = "Dollars of the cohort divided by its commits. Commits differ in size: this is correlation, not causation. NULL when there are none, or when they are not counted or withheld."),
  usd_per_pull_request OPTIONS (description = "Dollars of the cohort divided by its pull requests. The dollars also paid for questions, reviews and other work."),
  usd_per_accepted_line OPTIONS (description = "Dollars of the cohort divided by its accepted lines. It rises with agent mode, which lowers accepted lines but not output."),
  withheld_reason OPTIONS (description = "Why counts and ratios are NULL: small_cohort (fewer than 5 active people, to protect individuals) or no_activity (no activity of the month is loaded for the team). NULL when they are shown."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the row."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "US dollars per commit, pull request and accepted line by team, month and vendor. The ratios divide all dollars by all output of a cohort; they are never per person. Read them as the trend of one team with one vendor. They show correlation, not causation. Cohorts of fewer than five people are withheld.")
AS
WITH cost AS (
  SELECT
    DATE_TRUNC(cost.usage_date, MONTH) AS month,
    cost.vendor,
    cost.team,
    SUM(cost.amount_usd) AS spend_usd,
    LOGICAL_OR(cost.is_provisional) AS is_provisional
  FROM ai_usage.fct_cost_daily AS cost
  JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = cost.vendor
  WHERE cost.cost_basis <> 'included' AND (vendor.activity_product IS NULL OR cost.product = vendor.activity_product)
  GROUP BY DATE_TRUNC(cost.usage_date, MONTH), cost.vendor, cost.team
), activity AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    vendor,
    team,
    COUNT(DISTINCT CASE WHEN is_active THEN person_email END) AS people,
    CAST(SUM(commits) AS INT64) AS commits,
    CAST(SUM(pull_requests) AS INT64) AS pull_requests,
    CAST(SUM(lines_accepted) AS INT64) AS lines_accepted
  FROM ai_usage.fct_activity_daily
  GROUP BY DATE_TRUNC(usage_date, MONTH), vendor, team
), cohort AS (
  SELECT month, vendor, team FROM cost
  UNION DISTINCT
  SELECT month, vendor, team FROM activity
), joined AS (
  SELECT
    cohort.month,
    cohort.vendor,
    cohort.team,
    COALESCE(activity.people, 0) AS people,
    cost.spend_usd,
    cost.is_provisional,
    CASE
      WHEN activity.month IS NULL THEN 'no_activity'
      WHEN activity.people < 5 THEN 'small_cohort'
    END AS withheld_reason,
    CASE WHEN activity.people >= 5 THEN activity.commits END AS commits,
    CASE WHEN activity.people >= 5 THEN activity.pull_requests END AS pull_requests,
    CASE WHEN activity.people >= 5 THEN activity.lines_accepted END AS lines_accepted
  FROM cohort
  LEFT JOIN cost
    ON cost.month = cohort.month AND cost.vendor = cohort.vendor
    AND (cost.team = cohort.team OR (cost.team IS NULL AND cohort.team IS NULL))
  LEFT JOIN activity
    ON activity.month = cohort.month AND activity.vendor = cohort.vendor
    AND (activity.team = cohort.team OR (activity.team IS NULL AND cohort.team IS NULL))
)
SELECT
  joined.month,
  joined.vendor,
  joined.team,
  joined.people,
  joined.spend_usd,
  joined.commits,
  joined.pull_requests,
  joined.lines_accepted,
  CAST(ROUND(CAST(SAFE_DIVIDE(joined.spend_usd, joined.commits) AS NUMERIC), 6) AS NUMERIC) AS usd_per_commit,
  CAST(ROUND(CAST(SAFE_DIVIDE(joined.spend_usd, joined.pull_requests) AS NUMERIC), 6) AS NUMERIC) AS usd_per_pull_request,
  CAST(ROUND(CAST(SAFE_DIVIDE(joined.spend_usd, joined.lines_accepted) AS NUMERIC), 6) AS NUMERIC) AS usd_per_accepted_line,
  joined.withheld_reason,
  COALESCE(joined.is_provisional, TRUE) AS is_provisional,
  as_of.as_of_date
FROM joined
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS as_of
