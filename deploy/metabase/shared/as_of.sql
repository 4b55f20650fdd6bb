SELECT
  vendor, as_of_date, complete_through_date, provisional_from_date, missing_days, last_read_at
FROM ai_usage.kpi_freshness
WHERE TRUE [[AND vendor IN ({{vendor}})]]
ORDER BY vendor
