-- What the vendor billed for usage in a month, before attribution.
SELECT cost_basis, SUM(amount_usd) AS amount_usd
FROM ai_usage.int_cursor_usage_daily
WHERE cost_basis <> 'included' AND amount_usd IS NOT NULL AND usage_date BETWEEN @first_day AND @last_day
GROUP BY cost_basis
