-- Dollars and tokens of each day as they are published, from @past_day on.
SELECT cost.usage_date, cost.amount_usd, token.tokens
FROM (
  SELECT usage_date, SUM(amount_usd) AS amount_usd FROM ai_usage.int_anthropic_cost_daily
  WHERE usage_date BETWEEN @past_day AND @end_day GROUP BY usage_date
) AS cost
JOIN (
  SELECT usage_date, SUM(total_tokens) AS tokens FROM ai_usage.int_anthropic_tokens_daily
  WHERE usage_date BETWEEN @past_day AND @end_day GROUP BY usage_date
) AS token ON token.usage_date = cost.usage_date
ORDER BY usage_date
