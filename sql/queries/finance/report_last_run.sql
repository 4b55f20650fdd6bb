-- The newest run.
SELECT run_id, job, started_at, outcome, first_day, last_day
FROM ai_usage.ops_runs
ORDER BY started_at DESC LIMIT 1
