CREATE OR REPLACE VIEW ai_usage.ops_freshness (
  vendor OPTIONS (description = "Vendor."),
  as_of_date OPTIONS (description = "UTC day of the last run."),
  through_date OPTIONS (description = "Last finished day on which the vendor was in use: the latest day, unless its key was removed."),
  complete_through_date OPTIONS (description = "Day up to which every bill is loaded; NULL when the first day is missing."),
  missing_days OPTIONS (description = "Number of finished days without a loaded bill."),
  provisional_from_date OPTIONS (description = "First day that is not final: provisional or missing; NULL when all days are final."),
  last_read_at OPTIONS (description = "Time of the last complete extract of the bill; NULL when there is none.")
)
OPTIONS (description = "Freshness of each vendor in use: the last run, the day up to which the bill is complete, and the first day that can still change. A summary of kpi_completeness, which has the days and the reasons.")
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
  -- A vendor that is not in use has no missing days; a vendor whose every extract failed has.
  WHERE is_bill AND (is_missing OR completed_at IS NOT NULL)
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
