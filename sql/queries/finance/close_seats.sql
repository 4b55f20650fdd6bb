-- The seat fees of a month by vendor, before attribution.
SELECT vendor, 'seat' AS cost_basis, SUM(amount_usd) AS amount_usd
FROM ai_usage.fct_seat_daily
WHERE is_paid AND amount_usd IS NOT NULL AND usage_date BETWEEN @first_day AND @last_day
GROUP BY vendor
