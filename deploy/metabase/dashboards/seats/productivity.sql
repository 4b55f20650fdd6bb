SELECT
  COALESCE(team, 'No team') AS team, vendor, people, spend_usd, usd_per_commit, usd_per_pull_request,
  usd_per_accepted_line,
  CASE withheld_reason
    WHEN 'small_cohort' THEN 'fewer than five people'
    WHEN 'no_activity' THEN 'no activity loaded'
  END AS withheld_reason,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_productivity
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
ORDER BY vendor, spend_usd DESC, team
