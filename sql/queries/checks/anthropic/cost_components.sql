-- Every token type and cost type of the bill, with its dollars.
SELECT
  COALESCE(token_type, cost_type, '(none)') AS value, SUM(amount_usd) AS amount_usd, MIN(usage_date) AS first_day
FROM ai_usage.stg_anthropic_cost_components
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY COALESCE(token_type, cost_type, '(none)') ORDER BY value
