-- Blank when no run has checked anything.
SELECT CASE WHEN COUNT(*) > 0 THEN COUNTIF(NOT passed) END AS failed_checks
FROM ai_usage.kpi_check_status
