-- Billed anomalies of the newest days of the run, each on its narrowest dimension.
SELECT
  usage_date, vendor, amount_usd AS actual_usd, expected_usd, excess_usd AS amount_usd, top_model,
  CASE
    WHEN dimension = 'person' AND team IS NULL THEN 'a person without a team'
    WHEN dimension = 'person' THEN CONCAT('a person of team ', team)
    WHEN dimension = 'api_key' THEN CONCAT('key ', COALESCE(dimension_name, dimension_value))
    ELSE CONCAT(dimension, ' ', dimension_value)
  END AS spender
FROM ai_usage.kpi_anomaly
WHERE usage_date BETWEEN DATE_SUB(@end_day, INTERVAL @days_back DAY) AND @end_day
  AND usage_date >= @start_day
  AND cost_basis = 'billed'
  AND event_rank = 1
ORDER BY usage_date DESC, excess_usd DESC, dimension_value
