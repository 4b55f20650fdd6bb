-- The newest successful run of a job that covers the days and finished at or after an instant.
SELECT run_id, finished_at, first_day, last_day
FROM ai_usage.ops_runs
WHERE outcome = 'success' AND job = @job AND first_day <= @first_day AND last_day >= @last_day
  AND finished_at >= @finished_since
ORDER BY finished_at DESC
LIMIT 1
