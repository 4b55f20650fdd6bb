-- Empty if no run has stored check results.
SELECT
  CASE WHEN COUNT(*) > 0 THEN COUNT(DISTINCT CASE WHEN NOT passed THEN CONCAT(asset, '.', check_name) END) END
    AS failed_checks
FROM ai_usage.ops_check_status
