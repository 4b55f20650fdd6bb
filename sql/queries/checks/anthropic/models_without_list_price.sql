-- Models of the bill that dim_model_price does not have, with their dollars.
SELECT cost.model AS value, SUM(cost.amount_usd) AS amount_usd, MIN(cost.usage_date) AS first_day
FROM ai_usage.int_anthropic_cost_daily AS cost
LEFT JOIN (SELECT DISTINCT model FROM ai_usage.dim_model_price) AS price
  ON cost.model = price.model OR STARTS_WITH(cost.model, CONCAT(price.model, '-20'))
WHERE cost.usage_date BETWEEN @start_day AND @end_day AND cost.model IS NOT NULL AND price.model IS NULL
GROUP BY cost.model ORDER BY value
