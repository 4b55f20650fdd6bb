CREATE OR REPLACE VIEW ai_usage.kpi_restatements (
  usage_date OPTIONS (description = "UTC day that was restated."),
  vendor OPTIONS (description = "Vendor."),
  cost_basis OPTIONS (description = "billed: owed on top of seats. included: usage that a seat or pool covers. Never add the two. NULL when only their sum is known."),
  dimension OPTIONS (description = "total (the whole day), model, api_key, workspace or principal. Read one dimension at a time: each adds up to the change of the total."),
  dimension_value OPTIONS (description = "Vendor's id or name within the dimension; the e-mail where the vendor has no id for users. NULL for the total, and for cost without the dimension."),
  dimension_name OPTIONS (description = "Name of the key or workspace, or e-mail of the user; NULL when it is not known."),
  old_amount_usd OPTIONS (description = "US dollars before; NULL when the value did not exist."),
  new_amount_usd OPTIONS (description = "US dollars after; NULL when the value no longer exists."),
  delta_usd OPTIONS (description = "US dollars after minus before."),
  delta_ratio OPTIONS (description = "Change divided by the dollars before: 0.10 = 10% more; NULL when there were none."),
  restated_at OPTIONS (description = "Time of the extract that loaded the new amount."),
  days_later OPTIONS (description = "Number of days between the usage day and the restatement; 1 or 2 is normal, because the vendor still counts usage on these days."),
  was_settled OPTIONS (description = "Whether the change came after the day was final."),
  is_latest OPTIONS (description = "Whether this is the latest restatement of the day."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate the day."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Changes of a vendor's bill for days that were already loaded: before, after, when, and by which models, keys, workspaces and principals. Each day, cost basis and time has a row of dimension `total`; cost that moved between keys has an unchanged total. Restatements that an earlier version recorded have only the total. Seats have no restatements.")
AS
WITH restatement AS (
  SELECT
    usage_date, vendor, asset, restated_at, cost_basis, dimension, dimension_value, old_amount_usd, new_amount_usd
  FROM ai_usage.ops_restatement_parts
  UNION ALL
  SELECT
    restated.usage_date,
    restated.vendor,
    restated.asset,
    restated.restated_at,
    vendor.single_cost_basis,
    'total',
    CAST(NULL AS STRING),
    restated.old_amount_usd,
    restated.new_amount_usd
  FROM ai_usage.ops_restatements AS restated
  JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = restated.asset
  LEFT JOIN (
    SELECT DISTINCT asset, usage_date, restated_at, run_id
    FROM ai_usage.ops_restatement_parts
  ) AS detailed
    ON detailed.asset = restated.asset
    AND detailed.usage_date = restated.usage_date
    AND detailed.restated_at = restated.restated_at
    AND detailed.run_id = restated.run_id
  WHERE detailed.asset IS NULL
    AND restated.old_amount_usd <> restated.new_amount_usd
), latest AS (
  SELECT *, MAX(restated_at) OVER (PARTITION BY asset, usage_date) AS last_restated_at
  FROM restatement
)
SELECT
  latest.usage_date,
  latest.vendor,
  latest.cost_basis,
  latest.dimension,
  latest.dimension_value,
  CASE latest.dimension
    WHEN 'api_key' THEN api_key.name
    WHEN 'workspace' THEN workspace.name
    WHEN 'principal' THEN directory_user.email
  END AS dimension_name,
  latest.old_amount_usd,
  latest.new_amount_usd,
  COALESCE(latest.new_amount_usd, 0) - COALESCE(latest.old_amount_usd, 0) AS delta_usd,
  CAST(ROUND(CAST(SAFE_DIVIDE(
    COALESCE(latest.new_amount_usd, 0) - latest.old_amount_usd, latest.old_amount_usd
  ) AS NUMERIC), 6) AS NUMERIC) AS delta_ratio,
  latest.restated_at,
  DATE_DIFF(DATE(latest.restated_at), latest.usage_date, DAY) AS days_later,
  DATE(latest.restated_at) >= settlement.settles_on AS was_settled,
  latest.restated_at = latest.last_restated_at AS is_latest,
  COALESCE(settlement.is_provisional, TRUE) AS is_provisional,
  settlement.as_of_date
FROM latest
LEFT JOIN ai_usage.int_settlement_daily AS settlement
  ON settlement.usage_date = latest.usage_date AND settlement.vendor = latest.vendor
LEFT JOIN ai_usage.dim_api_key AS api_key
  ON latest.dimension = 'api_key' AND api_key.vendor = latest.vendor AND api_key.api_key_id = latest.dimension_value
LEFT JOIN ai_usage.dim_workspace AS workspace
  ON latest.dimension = 'workspace'
  AND workspace.vendor = latest.vendor
  AND workspace.workspace_id = latest.dimension_value
LEFT JOIN ai_usage.int_directory AS directory_user
  ON latest.dimension = 'principal'
  AND directory_user.object_type = 'user'
  AND directory_user.vendor = latest.vendor
  AND directory_user.object_id = latest.dimension_value
