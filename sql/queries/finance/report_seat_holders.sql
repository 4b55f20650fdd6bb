-- Holders of a seat that can be returned, or who are near their limit.
SELECT
  user_email,
  name,
  team,
  cost_center,
  plan,
  monthly_price_usd,
  last_active_date,
  first_seat_date,
  is_reclaimable,
  is_near_limit,
  limit_usd,
  limit_spent_usd,
  limit_used_ratio,
  limit_as_of_date
FROM ai_usage.kpi_seat_utilization
WHERE month = @month AND (is_reclaimable OR is_near_limit)
ORDER BY monthly_price_usd DESC, limit_used_ratio DESC, team, last_active_date, user_id
