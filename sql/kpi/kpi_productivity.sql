CREATE OR REPLACE VIEW ai_usage.kpi_productivity (
  month OPTIONS (description = "First day of the month; the running month is to date."),
  vendor OPTIONS (description = "anthropic (Claude Code) or cursor. The two count other things and must not be ranked against each other."),
  team OPTIONS (description = "Team on the day; NULL for people without one and for keys. Never a person: this view judges no one."),
  people OPTIONS (description = "Named people of the team who were active with the vendor in the month."),
  spend_usd OPTIONS (description = "Dollars the ratios are made of, billed and seat: for anthropic the billed cost of Claude Code alone, for cursor on-demand cost and seat fees. Included usage is no part of it, nor are Claude seats, whose fee no API tells: their commits are counted and cost nothing here."),
  commits OPTIONS (description = "Commits made through Claude Code; a commit made by hand with its help is not one. NULL for Cursor, which does not count them, and for a withheld cohort."),
  pull_requests OPTIONS (description = "Pull requests made through Claude Code. NULL for Cursor and for a withheld cohort."),
  lines_accepted OPTIONS (description = "Suggested lines that people accepted in Cursor. Agents write without asking, so the more a team works with agents the more this undercounts. NULL for Claude Code, which does not count them, and for a withheld cohort."),
  usd_per_commit OPTIONS (description = "Dollars of the cohort / its commits. Commits differ in size, and people who do more in fewer commits look dear: correlation, not causation. NULL where there are none, or they are not counted or withheld."),
  usd_per_pull_request OPTIONS (description = "Dollars of the cohort / its pull requests. The dollars also paid for questions, reviews and work that led to none: not the price of a pull request."),
  usd_per_accepted_line OPTIONS (description = "Dollars of the cohort / its accepted lines. Rises with agent mode, which lowers accepted lines and not output; lines are no measure of value."),
  withheld_reason OPTIONS (description = "Why counts and ratios are NULL: small_cohort (fewer than 5 active people, so that no person can be read from a team), no_activity (no activity of the month is loaded for the team). NULL when they are shown."),
  is_provisional OPTIONS (description = "Whether the vendor may still restate a dollar of it."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date.")
)
OPTIONS (description = "Dollars per commit, pull request and accepted line, as ratios of whole cohorts: all dollars of a team in a month over all it made, never per person and never a mean of ratios. Read it as a trend of one team with one vendor. It says what came along with the spending, not what the spending brought about, and cohorts of fewer than five people are withheld.")
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
