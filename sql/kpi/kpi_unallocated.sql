CREATE OR REPLACE VIEW ai_usage.kpi_unallocated (
  month OPTIONS (description = "First day of the month."),
  vendor OPTIONS (description = "Vendor."),
  principal_type OPTIONS (description = "Type of principal to which the vendor attributes the usage."),
  principal_id OPTIONS (description = "Vendor's id of the principal; the e-mail where the vendor has no id for users."),
  api_key_id OPTIONS (description = "API key; NULL where the vendor has none."),
  api_key_name OPTIONS (description = "Name of the API key."),
  workspace_id OPTIONS (description = "Workspace; NULL where the vendor has none."),
  workspace_name OPTIONS (description = "Name of the workspace."),
  person_email OPTIONS (description = "Person without a cost center; NULL when there is no person."),
  attribution_method OPTIONS (description = "Name of the attribution rule that matched."),
  spend_usd OPTIONS (description = "Billed and seat US dollars."),
  share_of_spend OPTIONS (description = "Share of the month's spend; NULL when credits leave no positive total."),
  first_day OPTIONS (description = "First day of this spend without a cost center, in any month."),
  next_step OPTIONS (description = "What to do."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of the row."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Spend without a cost center by principal, API key and workspace, with its first day and the row to add to the sheet.")
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
), unallocated AS (
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
  unallocated.month,
  unallocated.vendor,
  unallocated.principal_type,
  unallocated.principal_id,
  unallocated.api_key_id,
  api_key.name AS api_key_name,
  unallocated.workspace_id,
  workspace.name AS workspace_name,
  unallocated.person_email,
  unallocated.attribution_method,
  unallocated.spend_usd,
  CASE
    WHEN total.spend_usd > 0
      THEN CAST(ROUND(CAST(SAFE_DIVIDE(unallocated.spend_usd, total.spend_usd) AS NUMERIC), 6) AS NUMERIC)
  END AS share_of_spend,
  MIN(unallocated.first_day_of_month) OVER (
    PARTITION BY
      unallocated.vendor, unallocated.principal_type, unallocated.principal_id, unallocated.api_key_id,
      unallocated.workspace_id, unallocated.person_email, unallocated.attribution_method
  ) AS first_day,
  CASE
    WHEN unallocated.person_email IS NOT NULL
      THEN 'people: add a row with a cost center for this person, effective from first_day.'
    WHEN unallocated.attribution_method NOT IN ('unallocated', 'vendor_actor', 'seat')
      THEN 'key_mapping: the matching row has no cost center; fill it in.'
    WHEN unallocated.api_key_id IS NOT NULL
      THEN CONCAT(
        'key_mapping: add ', unallocated.vendor, ', api_key, ', unallocated.api_key_id, ' with its team and cost center.'
      )
    WHEN unallocated.attribution_method = 'vendor_actor'
      THEN CONCAT(
        'The vendor no longer reports who ', IFNULL(unallocated.principal_id, 'this user'),
        ' is, so that no row of the sheet can match.'
      )
    WHEN unallocated.principal_type IN ('service_account', 'automation', 'cloud_agent')
      THEN CONCAT(
        'key_mapping: add ', unallocated.vendor, ', ', unallocated.principal_type, ', ', unallocated.principal_id,
        ' with its team and cost center.'
      )
    WHEN unallocated.workspace_id IS NOT NULL
      THEN CONCAT(
        'key_mapping: add ', unallocated.vendor, ', workspace, ', unallocated.workspace_id, ' with its team and cost center.'
      )
    ELSE 'The vendor reports no identity; ask its support which user it was.'
  END AS next_step,
  unallocated.is_provisional,
  today.as_of_date
FROM unallocated
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
JOIN total ON total.month = unallocated.month
LEFT JOIN ai_usage.dim_api_key AS api_key
  ON api_key.vendor = unallocated.vendor AND api_key.api_key_id = unallocated.api_key_id
LEFT JOIN ai_usage.dim_workspace AS workspace
  ON workspace.vendor = unallocated.vendor AND workspace.workspace_id = unallocated.workspace_id
