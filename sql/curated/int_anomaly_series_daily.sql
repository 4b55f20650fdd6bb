CREATE TABLE IF NOT EXISTS ai_usage.int_anomaly_series_daily (
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or included."),
  dimension STRING NOT NULL OPTIONS (description = "api_key, robot, person, team, model or vendor."),
  dimension_value STRING NOT NULL OPTIONS (description = "Value of the dimension."),
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  is_personal BOOL NOT NULL OPTIONS (description = "Whether all of the cost is of persons, whose usage varies more."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "US dollars."),
  is_provisional BOOL NOT NULL OPTIONS (description = "Whether the vendor can still restate the day."),
  first_date DATE NOT NULL OPTIONS (description = "First day of the series.")
)
PARTITION BY usage_date
CLUSTER BY vendor, cost_basis, dimension
OPTIONS (description = "Second stage of anomaly detection: the daily cost of each value of each dimension. Days without cost have no row.")
AS
WITH facet AS (
  SELECT 'api_key' AS dimension UNION ALL SELECT 'robot' UNION ALL SELECT 'person' UNION ALL SELECT 'team'
  UNION ALL SELECT 'model' UNION ALL SELECT 'vendor'
), faceted_cost AS (
  SELECT
    cost.*,
    facet.dimension,
    CASE facet.dimension
      WHEN 'api_key' THEN api_key_id
      WHEN 'robot' THEN robot_id
      WHEN 'person' THEN person_email
      WHEN 'team' THEN team
      WHEN 'model' THEN model
      ELSE vendor
    END AS dimension_value
  FROM ai_usage.int_anomaly_cost_daily AS cost
  CROSS JOIN facet
), series AS (
  SELECT
    vendor,
    cost_basis,
    dimension,
    dimension_value,
    usage_date,
    -- Usage of persons varies more and has a higher threshold.
    dimension IN ('api_key', 'robot', 'person') AND COUNTIF(person_email IS NULL) = 0 AS is_personal,
    SUM(amount_usd) AS amount_usd,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM faceted_cost
  WHERE dimension_value IS NOT NULL
  GROUP BY vendor, cost_basis, dimension, dimension_value, usage_date
)
SELECT
  vendor,
  cost_basis,
  dimension,
  dimension_value,
  usage_date,
  is_personal,
  amount_usd,
  is_provisional,
  MIN(usage_date) OVER (PARTITION BY vendor, cost_basis, dimension, dimension_value) AS first_date
FROM series
