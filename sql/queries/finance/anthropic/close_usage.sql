-- What the vendor billed for usage in a month, before attribution.
SELECT 'billed' AS cost_basis, SUM(amount_usd) AS amount_usd
FROM ai_usage.int_anthropic_cost_daily
WHERE amount_usd IS NOT NULL AND usage_date BETWEEN @first_day AND @last_day
GROUP BY cost_basis
