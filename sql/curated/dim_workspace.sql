CREATE TABLE IF NOT EXISTS ai_usage.dim_workspace (
  workspace_id STRING NOT NULL OPTIONS (description = "The workspace's id."),
  name STRING OPTIONS (description = "Name."),
  is_archived BOOL NOT NULL OPTIONS (description = "Whether it is archived."),
  members INT64 NOT NULL OPTIONS (description = "Members in the newest snapshot; the default workspace lists none."),
  last_seen_on DATE NOT NULL OPTIONS (description = "Last UTC day on which the directory listed it.")
)
OPTIONS (description = "Anthropic workspaces ever seen, as last seen.")
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
