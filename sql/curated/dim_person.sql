CREATE TABLE IF NOT EXISTS ai_usage.dim_person (
  person_email STRING NOT NULL OPTIONS (description = "E-mail, in lower case."),
  name STRING OPTIONS (description = "Name."),
  team STRING OPTIONS (description = "Team."),
  cost_center STRING OPTIONS (description = "Cost center."),
  effective_from DATE NOT NULL OPTIONS (description = "First UTC day on which the row applies."),
  effective_to DATE NOT NULL OPTIONS (description = "First UTC day on which the row no longer applies; 9999-12-31 = open.")
)
OPTIONS (description = "People with their team and cost center over time: one row per person and interval.")
AS
SELECT
  person_email,
  name,
  team,
  cost_center,
  effective_from,
  effective_to
FROM ai_usage.stg_people
