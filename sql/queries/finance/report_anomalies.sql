-- Each anomaly of the month once, by the dimension that explains it best.
SELECT
  usage_date,
  vendor,
  cost_basis,
  dimension,
  dimension_value,
  dimension_name,
  team,
  top_model,
  amount_usd,
  expected_usd,
  excess_usd,
  is_provisional
FROM ai_usage.kpi_anomaly
WHERE event_rank = 1 AND usage_date BETWEEN @month AND @through_day
ORDER BY excess_usd DESC, usage_date, vendor, dimension, dimension_value
