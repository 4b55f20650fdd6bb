CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_workspace (
  workspace_id STRING NOT NULL OPTIONS (description = "Id of the workspace."),
  name STRING OPTIONS (description = "Name of the workspace."),
  is_archived BOOL NOT NULL OPTIONS (description = "Whether the workspace is archived."),
  members INT64 NOT NULL OPTIONS (description = "Number of members in the latest snapshot; 0 for the default workspace, whose members the API does not list."),
  last_seen_on DATE NOT NULL OPTIONS (description = "Last UTC day on which the directory listed the workspace.")
)
OPTIONS (description = "Anthropic workspaces as last listed by the directory.")
AS
WITH latest AS (
  SELECT *
  FROM ai_usage.stg_anthropic_workspaces
  WHERE snapshot_date BETWEEN @first_day AND @today
  QUALIFY ROW_NUMBER() OVER (PARTITION BY workspace_id ORDER BY snapshot_date DESC, archived_at NULLS FIRST, name) = 1
), member AS (
  SELECT workspace_id, snapshot_date, COUNT(*) AS members
  FROM ai_usage.stg_anthropic_workspace_members
  WHERE snapshot_date BETWEEN @first_day AND @today
  GROUP BY workspace_id, snapshot_date
)
SELECT
  latest.workspace_id,
  latest.name,
  latest.archived_at IS NOT NULL AS is_archived,
  COALESCE(member.members, 0) AS members,
  latest.snapshot_date AS last_seen_on
FROM latest
LEFT JOIN member ON member.workspace_id = latest.workspace_id AND member.snapshot_date = latest.snapshot_date
