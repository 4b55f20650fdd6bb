CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_cost_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  fact_no INT64 NOT NULL OPTIONS (description = "Number of the row within its day, from 1."),
  identity_key STRING NOT NULL OPTIONS (description = "Key of the identity; joins bridge_attribution_daily."),
  product STRING OPTIONS (description = "Product through which the usage came, as the vendor names it."),
  model STRING OPTIONS (description = "Model; NULL for cost that belongs to no model."),
  principal_type STRING NOT NULL OPTIONS (description = "user, service_account, federated, api_key or none."),
  principal_id STRING OPTIONS (description = "Vendor's id of the principal."),
  user_email STRING OPTIONS (description = "E-mail of the user as the vendor last sent it."),
  api_key_id STRING OPTIONS (description = "API key that authenticated the requests."),
  workspace_id STRING OPTIONS (description = "Workspace."),
  requests INT64 OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "Billed US dollars."),
  list_amount_usd NUMERIC NOT NULL OPTIONS (description = "US dollars at the vendor's list price, before discount.")
)
PARTITION BY usage_date
CLUSTER BY identity_key
OPTIONS (description = "Anthropic's billed cost per day, actor, key, workspace, model and product, before attribution.")
AS
WITH summed AS (
  SELECT
    usage_date,
    CONCAT(
      'anthropic|', principal_type, '|', IFNULL(REPLACE(REPLACE(principal_id, '%', '%25'), '|', '%7C'), ''), '|', IFNULL(REPLACE(REPLACE(user_email, '%', '%25'), '|', '%7C'), ''), '|',
      IFNULL(REPLACE(REPLACE(api_key_id, '%', '%25'), '|', '%7C'), ''), '|', IFNULL(REPLACE(REPLACE(workspace_id, '%', '%25'), '|', '%7C'), '')
    ) AS identity_key,
    product,
    model,
    principal_type,
    principal_id,
    user_email,
    api_key_id,
    workspace_id,
    SUM(requests) AS requests,
    SUM(amount_usd) AS amount_usd,
    SUM(list_amount_usd) AS list_amount_usd
  FROM ai_usage.stg_anthropic_cost
  WHERE usage_date BETWEEN @start_day AND @end_day
  GROUP BY usage_date, product, model, principal_type, principal_id, user_email, api_key_id, workspace_id
)
SELECT
  usage_date,
  ROW_NUMBER() OVER (
    PARTITION BY usage_date
    ORDER BY identity_key NULLS FIRST, product NULLS FIRST, model NULLS FIRST
  ) AS fact_no,
  identity_key,
  product,
  model,
  principal_type,
  principal_id,
  user_email,
  api_key_id,
  workspace_id,
  requests,
  amount_usd,
  list_amount_usd
FROM summed
