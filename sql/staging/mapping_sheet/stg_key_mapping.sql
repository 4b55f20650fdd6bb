CREATE OR REPLACE VIEW ai_usage.stg_key_mapping (
  row_no OPTIONS (description = "Row number in the sheet."),
  vendor OPTIONS (description = "Vendor."),
  principal_type OPTIONS (description = "api_key, workspace, service_account, user, automation or cloud_agent."),
  principal_id OPTIONS (description = "Vendor's id of the principal; for a user the e-mail."),
  person_email OPTIONS (description = "Person, in lower case; NULL when the row names only a team or cost center."),
  team OPTIONS (description = "Team; NULL = the team of the person."),
  cost_center OPTIONS (description = "Cost center; NULL = the cost center of the person."),
  share_pct OPTIONS (description = "Share of the principal's cost, in percent."),
  effective_from OPTIONS (description = "First UTC day on which the row applies."),
  effective_to OPTIONS (description = "First UTC day on which the row no longer applies."),
  note OPTIONS (description = "Note of finance.")
)
OPTIONS (description = "Mapping of principals: accepted rows of the last good version of the tab.")
AS
WITH versions AS (
  SELECT
    *,
    MAX(read_at) OVER (PARTITION BY tab) AS last_read_at
  FROM ai_usage.raw_mapping_sheet
  WHERE tab = 'key_mapping'
)
SELECT
  row_no,
  JSON_VALUE(payload, '$.vendor') AS vendor,
  JSON_VALUE(payload, '$.principal_type') AS principal_type,
  JSON_VALUE(payload, '$.principal_id') AS principal_id,
  JSON_VALUE(payload, '$.person_email') AS person_email,
  JSON_VALUE(payload, '$.team') AS team,
  JSON_VALUE(payload, '$.cost_center') AS cost_center,
  CAST(JSON_VALUE(payload, '$.share_pct') AS NUMERIC) AS share_pct,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.effective_from') AS DATE), DATE '0001-01-01') AS effective_from,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.effective_to') AS DATE), DATE '9999-12-31') AS effective_to,
  JSON_VALUE(payload, '$.note') AS note
FROM versions
WHERE read_at = last_read_at AND row_no > 0 AND reject_reason IS NULL
