CREATE TABLE IF NOT EXISTS ai_usage.int_key_mapping (
  row_no INT64 NOT NULL OPTIONS (description = "Row number in the sheet."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  principal_type STRING NOT NULL OPTIONS (description = "api_key, workspace, service_account, user, automation or cloud_agent."),
  principal_id STRING NOT NULL OPTIONS (description = "Vendor's id of the principal; for a user the e-mail."),
  person_email STRING OPTIONS (description = "Person to whom the principal is mapped."),
  team STRING OPTIONS (description = "Team; NULL = the team of the person."),
  cost_center STRING OPTIONS (description = "Cost center; NULL = the cost center of the person."),
  share NUMERIC NOT NULL OPTIONS (description = "Share of the cost: 1 = all of it."),
  effective_from DATE NOT NULL OPTIONS (description = "First UTC day on which the row applies."),
  effective_to DATE NOT NULL OPTIONS (description = "First UTC day on which the row no longer applies; 9999-12-31 = open.")
)
OPTIONS (description = "Accepted rows of the sheet's key_mapping tab, with shares as fractions.")
AS
SELECT
  row_no,
  vendor,
  principal_type,
  principal_id,
  person_email,
  team,
  cost_center,
  CAST(share_pct * NUMERIC '0.01' AS NUMERIC) AS share,
  effective_from,
  effective_to
FROM ai_usage.stg_key_mapping
