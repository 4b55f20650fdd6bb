CREATE TABLE IF NOT EXISTS ai_usage.int_key_mapping (
  row_no INT64 NOT NULL OPTIONS (description = "Row number in the sheet."),
  vendor STRING NOT NULL OPTIONS (description = "anthropic or cursor."),
  principal_type STRING NOT NULL OPTIONS (description = "api_key, workspace, service_account, user, automation or cloud_agent."),
  principal_id STRING NOT NULL OPTIONS (description = "The vendor's id; for a user the e-mail."),
  person_email STRING OPTIONS (description = "Person who pays."),
  team STRING OPTIONS (description = "Team; NULL = the person's."),
  cost_center STRING OPTIONS (description = "Cost center; NULL = the person's."),
  share NUMERIC NOT NULL OPTIONS (description = "Share of the cost, 1 = all of it."),
  effective_from DATE NOT NULL OPTIONS (description = "First UTC day the row holds."),
  effective_to DATE NOT NULL OPTIONS (description = "First UTC day it no longer holds; 9999-12-31 = open.")
)
OPTIONS (description = "The mapping that finance keeps, ready to join: who pays for a key, workspace, account or user, and what share.")
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
