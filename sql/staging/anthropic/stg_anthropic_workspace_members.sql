CREATE OR REPLACE VIEW ai_usage.stg_anthropic_workspace_members (
  snapshot_date OPTIONS (description = "UTC day on which the directory was read."),
  workspace_id OPTIONS (description = "Id of the workspace."),
  user_id OPTIONS (description = "Id of the member."),
  workspace_role OPTIONS (description = "Role in the workspace.")
)
OPTIONS (description = "Members of each Anthropic workspace, typed.")
AS
SELECT
  snapshot_date,
  JSON_VALUE(payload, '$.workspace_id') AS workspace_id,
  JSON_VALUE(payload, '$.user_id') AS user_id,
  JSON_VALUE(payload, '$.workspace_role') AS workspace_role
FROM ai_usage.raw_anthropic_workspace_members
