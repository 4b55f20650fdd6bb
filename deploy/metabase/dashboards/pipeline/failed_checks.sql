-- Blank when no run has checked anything.
SELECT CASE WHEN COUNT(*) > 0 THEN COUNTIF(NOT passed) END AS failed_checks
FROM ai_usage.ops_check_results
WHERE run_id IN (
  SELECT run_id FROM ai_usage.ops_check_results
  QUALIFY ROW_NUMBER() OVER (ORDER BY checked_at DESC, run_id) = 1
)
