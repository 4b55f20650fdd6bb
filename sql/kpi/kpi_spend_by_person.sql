CREATE OR REPLACE VIEW ai_usage.kpi_spend_by_person (
  month OPTIONS (description = "First day of the month."),
  person_email OPTIONS (description = "Person; NULL for spend that names none (service accounts, shared keys, unallocated)."),
  name OPTIONS (description = "Name."),
  team OPTIONS (description = "Team on the day; a person who moved has a row for each."),
  cost_center OPTIONS (description = "Cost center on the day."),
  anthropic_usd OPTIONS (description = "Billed dollars at Anthropic."),
  cursor_usd OPTIONS (description = "Billed and seat dollars at Cursor."),
  spend_usd OPTIONS (description = "Both."),
  included_usd OPTIONS (description = "Usage a seat or pool already covers, at vendor rates. Never part of the spend."),
  requests OPTIONS (description = "Requests; NULL where the vendor does not count them."),
  active_days OPTIONS (description = "Days with usage."),
  person_rank OPTIONS (description = "Rank of the person by spend in the month, 1 = highest; NULL where no person is named."),
  share_of_spend OPTIONS (description = "Share of the spend of the month, all vendors; NULL where credits leave nothing, or less, of it."),
  is_provisional OPTIONS (description = "Whether a vendor may still restate a day of the month."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date.")
)
OPTIONS (description = "Spend per month and person, ranked. Spend that names no person keeps a row per team and cost center, so that the month adds up.")
AS
WITH spent AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    person_email,
    team,
    cost_center,
    COALESCE(SUM(CASE WHEN vendor = 'anthropic' AND cost_basis <> 'included' THEN amount_usd END), 0) AS anthropic_usd,
    COALESCE(SUM(CASE WHEN vendor = 'cursor' AND cost_basis <> 'included' THEN amount_usd END), 0) AS cursor_usd,
    COALESCE(SUM(CASE WHEN cost_basis <> 'included' THEN amount_usd END), 0) AS spend_usd,
    SUM(CASE WHEN cost_basis = 'included' THEN amount_usd END) AS included_usd,
    CAST(SUM(requests) AS INT64) AS requests,
    COUNT(DISTINCT CASE WHEN cost_basis <> 'seat' THEN usage_date END) AS active_days,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.fct_cost_daily
  GROUP BY DATE_TRUNC(usage_date, MONTH), person_email, team, cost_center
), known AS (
  SELECT person_email, name
  FROM ai_usage.dim_person
  QUALIFY ROW_NUMBER() OVER (PARTITION BY person_email ORDER BY effective_from DESC) = 1
), ranked AS (
  SELECT
    month,
    person_email,
    RANK() OVER (PARTITION BY month ORDER BY SUM(spend_usd) DESC) AS person_rank
  FROM spent
  WHERE person_email IS NOT NULL
  GROUP BY month, person_email
)
SELECT
  spent.month,
  spent.person_email,
  known.name,
  spent.team,
  spent.cost_center,
  spent.anthropic_usd,
  spent.cursor_usd,
  spent.spend_usd,
  spent.included_usd,
  spent.requests,
  spent.active_days,
  ranked.person_rank,
  CASE
    WHEN SUM(spent.spend_usd) OVER (PARTITION BY spent.month) > 0 THEN CAST(ROUND(CAST(SAFE_DIVIDE(
      spent.spend_usd, SUM(spent.spend_usd) OVER (PARTITION BY spent.month)
    ) AS NUMERIC), 6) AS NUMERIC)
  END AS share_of_spend,
  spent.is_provisional,
  today.as_of_date
FROM spent
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
LEFT JOIN known ON known.person_email = spent.person_email
LEFT JOIN ranked ON ranked.month = spent.month AND ranked.person_email = spent.person_email
