CREATE OR REPLACE VIEW ai_usage.stg_budgets (
  row_no OPTIONS (description = "Row number in the sheet."),
  month OPTIONS (description = "First day of the month."),
  cost_center OPTIONS (description = "Cost center."),
  budget_usd OPTIONS (description = "Budget in US dollars.")
)
OPTIONS (description = "Budgets per cost center and month: accepted rows of the last good version of the tab.")
AS
WITH versions AS (
  SELECT
    *,
    MAX(read_at) OVER (PARTITION BY tab) AS last_read_at
  FROM ai_usage.raw_mapping_sheet
  WHERE tab = 'budgets'
)
SELECT
  row_no,
  SAFE_CAST(CONCAT(JSON_VALUE(payload, '$.month'), '-01') AS DATE) AS month,
  JSON_VALUE(payload, '$.cost_center') AS cost_center,
  CAST(JSON_VALUE(payload, '$.budget_usd') AS NUMERIC) AS budget_usd
FROM versions
WHERE read_at = last_read_at AND row_no > 0 AND reject_reason IS NULL
