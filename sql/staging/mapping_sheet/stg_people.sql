CREATE OR REPLACE VIEW ai_usage.stg_people (
  row_no OPTIONS (description = "Row number in the sheet."),
  person_email OPTIONS (description = "E-mail, in lower case."),
  name OPTIONS (description = "Name."),
  team OPTIONS (description = "Team."),
  cost_center OPTIONS (description = "Cost center."),
  effective_from OPTIONS (description = "First UTC day on which the row applies."),
  effective_to OPTIONS (description = "First UTC day on which the row no longer applies.")
)
OPTIONS (description = "People, their team and cost center over time: accepted rows of the last good version of the tab.")
AS
WITH versions AS (
  SELECT
    *,
    MAX(read_at) OVER (PARTITION BY tab) AS last_read_at
  FROM ai_usage.raw_mapping_sheet
  WHERE tab = 'people'
)
SELECT
  row_no,
  JSON_VALUE(payload, '$.person_email') AS person_email,
  JSON_VALUE(payload, '$.name') AS name,
  JSON_VALUE(payload, '$.team') AS team,
  JSON_VALUE(payload, '$.cost_center') AS cost_center,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.effective_from') AS DATE), DATE '0001-01-01') AS effective_from,
  COALESCE(SAFE_CAST(JSON_VALUE(payload, '$.effective_to') AS DATE), DATE '9999-12-31') AS effective_to
FROM versions
WHERE read_at = last_read_at AND row_no > 0 AND reject_reason IS NULL
