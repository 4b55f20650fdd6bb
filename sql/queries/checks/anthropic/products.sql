-- Every product of the bill, with its dollars.
SELECT product AS value, SUM(amount_usd) AS amount_usd, MIN(usage_date) AS first_day
FROM ai_usage.int_anthropic_cost_daily
WHERE usage_date BETWEEN @start_day AND @end_day AND product IS NOT NULL
GROUP BY product ORDER BY product
