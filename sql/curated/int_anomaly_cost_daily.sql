CREATE TABLE IF NOT EXISTS ai_usage.int_anomaly_cost_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or included."),
  person_email STRING OPTIONS (description = "Person; NULL when there is none."),
  team STRING OPTIONS (description = "Team on that day."),
  api_key_id STRING OPTIONS (description = "API key."),
  robot_id STRING OPTIONS (description = "Service account, automation, cloud agent or federated identity."),
  model STRING NOT NULL OPTIONS (description = "Model; no model for cost that belongs to none."),
  source STRING NOT NULL OPTIONS (description = "The person, or else the API key, or else the principal; nobody without any of them."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "US dollars."),
  is_provisional BOOL NOT NULL OPTIONS (description = "Whether the vendor can still restate the day.")
)
PARTITION BY usage_date
CLUSTER BY vendor, cost_basis
OPTIONS (description = "First stage of anomaly detection: the cost of usage by everything that an anomaly can be attributed to.")
AS
SELECT
  usage_date,
  vendor,
  cost_basis,
  person_email,
  team,
  api_key_id,
  CASE
    WHEN principal_type IN ('service_account', 'automation', 'cloud_agent', 'federated') THEN principal_id
  END AS robot_id,
  COALESCE(model, 'no model') AS model,
  -- The main source of an anomaly is the same in every dimension.
  COALESCE(person_email, api_key_id, principal_id, 'nobody') AS source,
  SUM(amount_usd) AS amount_usd,
  LOGICAL_OR(is_provisional) AS is_provisional
FROM ai_usage.fct_cost_daily
WHERE cost_basis <> 'seat'
GROUP BY
  usage_date, vendor, cost_basis, person_email, team, api_key_id,
  CASE
    WHEN principal_type IN ('service_account', 'automation', 'cloud_agent', 'federated') THEN principal_id
  END,
  COALESCE(model, 'no model'), COALESCE(person_email, api_key_id, principal_id, 'nobody')
