CREATE OR REPLACE VIEW ai_usage.stg_budget_rejects (
  row_no OPTIONS (description = "Row number in the sheet."),
  month OPTIONS (description = "First day of the month; NULL when it is unreadable."),
  cost_center OPTIONS (description = "Cost center; NULL when it is blank."),
  problem OPTIONS (description = "unreadable (a cell is blank or unreadable), negative, duplicate (another row has the same month and cost center) or other."),
  reject_reason OPTIONS (description = "Reason and remedy.")
)
OPTIONS (description = "Budgets that are not used: rejected rows of the last good version of the tab.")
AS
WITH version AS (
  SELECT
    row_no,
    read_at,
    MAX(read_at) OVER (PARTITION BY tab) AS last_read_at,
    reject_reason,
    SAFE_CAST(CONCAT(JSON_VALUE(payload, '$.month'), '-01') AS DATE) AS month,
    JSON_VALUE(payload, '$.cost_center') AS cost_center,
    -- The sheet's rule for an amount in dollars.
    REGEXP_REPLACE(JSON_VALUE(payload, '$.budget_usd'), r'^-?[0-9]{1,15}([.][0-9]{1,9})?$', '') = '' AS is_number,
    STARTS_WITH(JSON_VALUE(payload, '$.budget_usd'), '-') AS is_below_zero
  FROM ai_usage.raw_mapping_sheet
  WHERE tab = 'budgets'
), classified AS (
  SELECT
    row_no,
    month,
    cost_center,
    CASE
      WHEN month IS NULL OR cost_center IS NULL OR NOT COALESCE(is_number, FALSE) THEN 'unreadable'
      WHEN is_below_zero THEN 'negative'
      WHEN COUNTIF(is_number AND NOT is_below_zero) OVER (PARTITION BY month, cost_center) > 1 THEN 'duplicate'
      ELSE 'other'
    END AS problem,
    reject_reason
  FROM version
  WHERE read_at = last_read_at AND row_no > 0
)
SELECT row_no, month, cost_center, problem, reject_reason
FROM classified
WHERE reject_reason IS NOT NULL
