SELECT spend.usage_date, dim_vendor.label AS vendor, SUM(spend.spend_usd) AS spend_usd
FROM ai_usage.kpi_spend_daily AS spend
JOIN ai_usage.dim_vendor ON dim_vendor.vendor = spend.vendor
WHERE DATE_TRUNC(spend.usage_date, MONTH) = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND spend.vendor IN ({{vendor}})]] [[AND COALESCE(spend.cost_center, 'Unallocated') IN ({{cost_center}})]]
GROUP BY spend.usage_date, dim_vendor.label
ORDER BY spend.usage_date, dim_vendor.label
