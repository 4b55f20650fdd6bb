-- Sources in use whose newest complete day is more than @stale_days old.
WITH newest AS (
  SELECT
    completeness.vendor,
    MAX(CASE WHEN completeness.completed_at IS NOT NULL THEN completeness.usage_date END) AS newest_day,
    -- The status of the newest day shows whether the source is still in use.
    COALESCE(
      MAX(CASE WHEN completeness.is_missing OR completeness.status NOT IN ('not_configured', 'not_loaded')
        THEN completeness.usage_date END) = MAX(completeness.usage_date),
      FALSE
    ) AS is_in_use
  FROM ai_usage.kpi_completeness AS completeness
  LEFT JOIN ai_usage.dim_vendor AS vendor ON vendor.vendor = completeness.vendor
  WHERE completeness.is_bill OR vendor.vendor IS NULL
  GROUP BY completeness.vendor
)
SELECT vendor, COALESCE(CAST(newest_day AS STRING), 'none') AS newest_day
FROM newest
WHERE is_in_use AND (newest_day IS NULL OR DATE_DIFF(@today, newest_day, DAY) > @stale_days)
ORDER BY vendor
