-- Every actor type of the bill, with its dollars.
SELECT
  JSON_VALUE(payload, '$.group.actor.type') AS value,
  SUM(CAST(SAFE_CAST(JSON_VALUE(payload, '$.cost.amount') AS BIGNUMERIC) * NUMERIC '0.01' AS NUMERIC)) AS amount_usd,
  MIN(usage_date) AS first_day
FROM ai_usage.raw_anthropic_cost
WHERE usage_date BETWEEN @start_day AND @end_day AND JSON_VALUE(payload, '$.group.actor.type') IS NOT NULL
GROUP BY JSON_VALUE(payload, '$.group.actor.type') ORDER BY value
