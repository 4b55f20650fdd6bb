-- Paid seats without a price, by vendor.
SELECT vendor, COUNT(DISTINCT user_id) AS seats, MIN(usage_date) AS first_day
FROM ai_usage.fct_seat_daily
WHERE usage_date BETWEEN @start_day AND @end_day AND is_paid AND amount_usd IS NULL
GROUP BY vendor ORDER BY vendor
