-- Unallocated spend keeps a bar of its own, and what is beyond the twelve largest is one bar: nothing is left out.
WITH team AS (
  SELECT
    CASE WHEN cost_center IS NULL THEN 'Unallocated' ELSE COALESCE(team, 'No team') END AS bar,
    SUM(CASE WHEN vendor = 'anthropic' THEN spend_usd END) AS anthropic_usd,
    SUM(CASE WHEN vendor = 'cursor' THEN spend_usd END) AS cursor_usd,
    SUM(spend_usd) AS spend_usd
  FROM ai_usage.kpi_spend_monthly
  WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
    [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
  GROUP BY CASE WHEN cost_center IS NULL THEN 'Unallocated' ELSE COALESCE(team, 'No team') END
), placed AS (
  SELECT
    bar, anthropic_usd, cursor_usd, spend_usd,
    ROW_NUMBER() OVER (ORDER BY bar = 'Unallocated' DESC, spend_usd DESC, bar) AS place
  FROM team
)
SELECT
  CASE WHEN place <= 12 THEN bar ELSE 'All other teams' END AS team,
  SUM(anthropic_usd) AS anthropic_usd,
  SUM(cursor_usd) AS cursor_usd
FROM placed
GROUP BY CASE WHEN place <= 12 THEN bar ELSE 'All other teams' END
ORDER BY SUM(spend_usd) DESC, team
