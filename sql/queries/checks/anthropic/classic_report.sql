-- Lines (day, workspace, model or cost type) on which the analytics API and the classic cost report differ.
-- The classic report has NULL for the default workspace, and no model for web searches and code execution.
WITH default_workspace AS (
  SELECT MAX(workspace_id) AS workspace_id FROM ai_usage.dim_workspace WHERE name = 'Default'
), analytics AS (
  SELECT
    usage_date, workspace_id, CASE WHEN cost_type = 'tokens' THEN model ELSE cost_type END AS item,
    SUM(amount_usd) AS amount_usd
  FROM ai_usage.stg_anthropic_cost_components
  WHERE usage_date BETWEEN @start_day AND @end_day
  GROUP BY usage_date, workspace_id, CASE WHEN cost_type = 'tokens' THEN model ELSE cost_type END
), classic AS (
  SELECT
    report.usage_date, COALESCE(report.workspace_id, default_workspace.workspace_id) AS workspace_id,
    CASE WHEN report.cost_type = 'tokens' THEN report.model ELSE report.cost_type END AS item,
    SUM(report.amount_usd) AS amount_usd
  FROM ai_usage.stg_anthropic_cost_report AS report
  CROSS JOIN default_workspace
  WHERE report.usage_date BETWEEN @start_day AND @end_day
  GROUP BY
    report.usage_date, COALESCE(report.workspace_id, default_workspace.workspace_id),
    CASE WHEN report.cost_type = 'tokens' THEN report.model ELSE report.cost_type END
), loaded AS (
  SELECT usage_date FROM ai_usage.ops_asset_days
  WHERE asset = 'raw_anthropic_cost_report' AND completed_at IS NOT NULL AND usage_date BETWEEN @start_day AND @end_day
), line AS (
  SELECT
    COALESCE(analytics.usage_date, classic.usage_date) AS usage_date,
    COALESCE(analytics.workspace_id, classic.workspace_id) AS workspace_id,
    COALESCE(analytics.item, classic.item) AS item,
    COALESCE(analytics.amount_usd, 0) AS analytics_usd,
    COALESCE(classic.amount_usd, 0) AS classic_usd
  FROM analytics
  FULL OUTER JOIN classic
    ON classic.usage_date = analytics.usage_date
    AND COALESCE(classic.workspace_id, '') = COALESCE(analytics.workspace_id, '')
    AND COALESCE(classic.item, '') = COALESCE(analytics.item, '')
)
SELECT
  line.usage_date, line.workspace_id, line.item, line.analytics_usd, line.classic_usd,
  ABS(line.analytics_usd - line.classic_usd) AS amount_usd
FROM line
JOIN loaded ON loaded.usage_date = line.usage_date
WHERE ABS(line.analytics_usd - line.classic_usd) > GREATEST(@tolerance_usd, @tolerance_share * ABS(line.classic_usd))
ORDER BY line.usage_date, line.workspace_id, line.item
