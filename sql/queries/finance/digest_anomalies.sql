-- Each anomaly of the last days once, by the dimension that explains it best.
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
  expected_usd
FROM ai_usage.kpi_anomaly
WHERE event_rank = 1 AND usage_date BETWEEN @first_day AND @day
ORDER BY usage_date DESC, cost_basis, excess_usd DESC
