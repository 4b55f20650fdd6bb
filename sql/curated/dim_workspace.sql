CREATE TABLE IF NOT EXISTS ai_usage.dim_workspace (
  workspace_id STRING NOT NULL OPTIONS (description = "Id of the workspace."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  name STRING OPTIONS (description = "Name of the workspace."),
  is_archived BOOL NOT NULL OPTIONS (description = "Whether the workspace is archived."),
  members INT64 NOT NULL OPTIONS (description = "Number of members in the latest snapshot; 0 where the directory lists none."),
  last_seen_on DATE NOT NULL OPTIONS (description = "Last UTC day on which the directory listed the workspace.")
)
OPTIONS (description = "Workspaces of all vendors as last listed by their directories.")
AS
SELECT
  object_id AS workspace_id,
  vendor,
  name,
  status = 'archived' AS is_archived,
  members,
  last_seen_on
FROM ai_usage.int_directory
WHERE object_type = 'workspace'
