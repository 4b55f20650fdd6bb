-- The twelve largest teams and the sum of all others. Unallocated spend always has its own bar.
WITH spend AS (
  SELECT
    month, CASE WHEN cost_center IS NULL THEN 'Unallocated' ELSE COALESCE(team, 'No team') END AS team, vendor,
    SUM(spend_usd) AS spend_usd
  FROM ai_usage.kpi_spend_monthly
  WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
    [[AND vendor IN ({{vendor}})]] [[AND COALESCE(cost_center, 'Unallocated') IN ({{cost_center}})]]
  GROUP BY month, CASE WHEN cost_center IS NULL THEN 'Unallocated' ELSE COALESCE(team, 'No team') END, vendor
), ranked AS (
  SELECT
    team, SUM(spend_usd) AS spend_usd,
    ROW_NUMBER() OVER (PARTITION BY month ORDER BY team = 'Unallocated' DESC, SUM(spend_usd) DESC, team) AS team_rank
  FROM spend
  GROUP BY month, team
), bars AS (
  SELECT team, CASE WHEN team_rank <= 12 THEN team ELSE 'All other teams' END AS bar, spend_usd
  FROM ranked
), totals AS (
  SELECT bar, SUM(spend_usd) AS spend_usd
  FROM bars
  GROUP BY bar
)
SELECT bars.bar AS team, dim_vendor.label AS vendor, SUM(spend.spend_usd) AS spend_usd
FROM spend
JOIN bars ON bars.team = spend.team
JOIN totals ON totals.bar = bars.bar
JOIN ai_usage.dim_vendor ON dim_vendor.vendor = spend.vendor
GROUP BY bars.bar, totals.spend_usd, dim_vendor.label
ORDER BY totals.spend_usd DESC, bars.bar, dim_vendor.label
