CREATE OR REPLACE VIEW ai_usage.kpi_unallocated (
  month OPTIONS (description = "First day of the month."),
  vendor OPTIONS (description = "anthropic or cursor."),
  principal_type OPTIONS (description = "Whom the vendor attributes the usage to."),
  principal_id OPTIONS (description = "The vendor's id of that principal; for a Cursor user the e-mail."),
  api_key_id OPTIONS (description = "Anthropic API key."),
  api_key_name OPTIONS (description = "Name of that key."),
  workspace_id OPTIONS (description = "Anthropic workspace."),
  workspace_name OPTIONS (description = "Name of that workspace."),
  person_email OPTIONS (description = "Person, where one is named but has no cost center."),
  attribution_method OPTIONS (description = "The rule that was reached."),
  spend_usd OPTIONS (description = "Billed and seat dollars."),
  share_of_spend OPTIONS (description = "Share of all spend of the month; NULL where credits leave nothing, or less, of it."),
  first_day OPTIONS (description = "First day this spend was seen without a cost center, in any month."),
  next_step OPTIONS (description = "What to do."),
  is_provisional OPTIONS (description = "Whether the vendor may still restate a day of it."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date.")
)
OPTIONS (description = "Spend without a cost center, by what it hangs on, with the first day it was seen and what to write into the sheet.")
AS
WITH line AS (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month,
    usage_date,
    vendor,
    principal_type,
    principal_id,
    api_key_id,
    workspace_id,
    person_email,
    attribution_method,
    cost_center,
    amount_usd,
    is_provisional
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis <> 'included'
), total AS (
  SELECT month, SUM(amount_usd) AS spend_usd
  FROM line
  GROUP BY month
), spent AS (
  SELECT
    month,
    vendor,
    principal_type,
    principal_id,
    api_key_id,
    workspace_id,
    person_email,
    attribution_method,
    SUM(amount_usd) AS spend_usd,
    MIN(usage_date) AS first_day_of_month,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM line
  WHERE cost_center IS NULL
  GROUP BY month, vendor, principal_type, principal_id, api_key_id, workspace_id, person_email, attribution_method
)
SELECT
  spent.month,
  spent.vendor,
  spent.principal_type,
  spent.principal_id,
  spent.api_key_id,
  api_key.name AS api_key_name,
  spent.workspace_id,
  workspace.name AS workspace_name,
  spent.person_email,
  spent.attribution_method,
  spent.spend_usd,
  CASE
    WHEN total.spend_usd > 0
      THEN CAST(ROUND(CAST(SAFE_DIVIDE(spent.spend_usd, total.spend_usd) AS NUMERIC), 6) AS NUMERIC)
  END AS share_of_spend,
  MIN(spent.first_day_of_month) OVER (
    PARTITION BY
      spent.vendor, spent.principal_type, spent.principal_id, spent.api_key_id, spent.workspace_id, spent.person_email,
      spent.attribution_method
  ) AS first_day,
  CASE
    WHEN spent.person_email IS NOT NULL
      THEN 'people: add a row with a cost center for this person, from the first day on.'
    WHEN spent.attribution_method NOT IN ('unallocated', 'vendor_actor', 'seat')
      THEN 'key_mapping: the row that matches names no cost center; fill it in.'
    WHEN spent.api_key_id IS NOT NULL
      THEN CONCAT('key_mapping: add ', spent.vendor, ', api_key, ', spent.api_key_id, ' with its team and cost center.')
    WHEN spent.attribution_method = 'vendor_actor'
      THEN CONCAT(
        'The vendor no longer says who ', IFNULL(spent.principal_id, 'this user'),
        ' was, and no row of the sheet can take it; it stays here.'
      )
    WHEN spent.principal_type IN ('service_account', 'automation', 'cloud_agent')
      THEN CONCAT(
        'key_mapping: add ', spent.vendor, ', ', spent.principal_type, ', ', spent.principal_id,
        ' with its team and cost center.'
      )
    WHEN spent.workspace_id IS NOT NULL
      THEN CONCAT('key_mapping: add ', spent.vendor, ', workspace, ', spent.workspace_id, ' with its team and cost center.')
    ELSE 'The vendor names nobody; ask its support which user this was.'
  END AS next_step,
  spent.is_provisional,
  today.as_of_date
FROM spent
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
JOIN total ON total.month = spent.month
LEFT JOIN ai_usage.dim_api_key AS api_key
  ON api_key.vendor = spent.vendor AND api_key.api_key_id = spent.api_key_id
LEFT JOIN ai_usage.dim_workspace AS workspace
  ON workspace.vendor = spent.vendor AND workspace.workspace_id = spent.workspace_id
