CREATE OR REPLACE VIEW ai_usage.stg_anthropic_workspaces (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  workspace_id OPTIONS (description = "Id of the workspace."),
  name OPTIONS (description = "Name."),
  archived_at OPTIONS (description = "Time of archiving, as the vendor writes it; NULL for an active workspace.")
)
OPTIONS (description = "Anthropic workspaces, typed: one row per workspace and snapshot.")
AS
SELECT
  snapshot_date,
  JSON_VALUE(payload, '$.id') AS workspace_id,
  JSON_VALUE(payload, '$.name') AS name,
  JSON_VALUE(payload, '$.archived_at') AS archived_at
FROM ai_usage.raw_anthropic_workspaces
