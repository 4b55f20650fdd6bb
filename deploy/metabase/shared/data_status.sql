WITH selected_month AS (
  SELECT vendor, month, through_date, missing_days, is_provisional
  FROM ai_usage.int_month_completeness
  WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
)
SELECT
  fresh.vendor,
  CONCAT(
    SUBSTR(CAST(selected_month.month AS STRING), 1, 7), ', through ', CAST(selected_month.through_date AS STRING)
  ) AS month_shown,
  CASE WHEN selected_month.is_provisional THEN 'provisional' ELSE 'final' END AS status,
  selected_month.missing_days, fresh.as_of_date, fresh.complete_through_date, fresh.provisional_from_date,
  fresh.last_read_at
FROM ai_usage.ops_freshness AS fresh
LEFT JOIN selected_month ON selected_month.vendor = fresh.vendor
WHERE TRUE [[AND fresh.vendor IN ({{vendor}})]]
ORDER BY fresh.vendor
