-- The results of blocking checks for days of a month. A run without days checked everything.
SELECT
  result.asset,
  result.check_name,
  result.passed,
  result.amount_usd,
  result.message,
  COALESCE(run.first_day, @first_day) AS first_day,
  COALESCE(run.last_day, @last_day) AS last_day
FROM ai_usage.ops_check_results AS result
JOIN ai_usage.ops_runs AS run ON run.run_id = result.run_id
WHERE result.blocking
  -- A close verifies the closed months itself.
  AND result.check_name <> 'closed_months_unchanged'
  AND COALESCE(run.first_day, @first_day) <= @last_day
  AND COALESCE(run.last_day, @last_day) >= @first_day
ORDER BY result.asset, result.check_name, result.checked_at
