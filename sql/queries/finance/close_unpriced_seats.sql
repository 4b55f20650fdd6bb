-- Paid seats of a month that have no price.
SELECT COUNT(DISTINCT user_id) AS seats, COUNT(DISTINCT usage_date) AS days
FROM ai_usage.fct_seat_daily
WHERE is_paid AND amount_usd IS NULL AND usage_date BETWEEN @first_day AND @last_day
