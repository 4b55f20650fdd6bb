CREATE OR REPLACE VIEW ai_usage.ops_freshness (
  vendor OPTIONS (description = "anthropic or cursor."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date."),
  through_date OPTIONS (description = "Last finished day on which the vendor was used: the newest there is, but where its key was taken away."),
  complete_through_date OPTIONS (description = "Day up to which the bill of every day is held; NULL when that of the first is not."),
  missing_days OPTIONS (description = "Finished days whose bill is not held, wherever they are."),
  provisional_from_date OPTIONS (description = "First day that is not final: the vendor may still restate it, or it is missing; NULL when all are."),
  last_read_at OPTIONS (description = "When a day of the bill was last pulled whole; NULL when none ever was.")
)
OPTIONS (description = "How current the figures are, one row for each vendor that is used: as of when, up to which day the bill is complete, and from which day on it may still change. The sum of kpi_completeness, which has the days and the reasons.")
AS
WITH day AS (
  SELECT
    vendor,
    usage_date,
    status,
    is_missing,
    completed_at,
    as_of_date,
    MIN(CASE WHEN is_missing THEN usage_date END) OVER (PARTITION BY vendor) AS first_missing_date
  FROM ai_usage.kpi_completeness
  -- A vendor that is not used has no days to miss; one whose every pull failed has.
  WHERE is_money AND (is_missing OR completed_at IS NOT NULL)
)
SELECT
  vendor,
  MAX(as_of_date) AS as_of_date,
  MAX(usage_date) AS through_date,
  MAX(CASE WHEN first_missing_date IS NULL OR usage_date < first_missing_date THEN usage_date END) AS complete_through_date,
  COUNTIF(is_missing) AS missing_days,
  MIN(CASE WHEN status <> 'complete' THEN usage_date END) AS provisional_from_date,
  MAX(completed_at) AS last_read_at
FROM day
GROUP BY vendor
