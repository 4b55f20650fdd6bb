SELECT
  COALESCE(team, 'No team') AS team, vendor, model, cache_hit_ratio, uncached_usd, cached_usd, saved_usd,
  unpriced_tokens, REPLACE(price_status, '_', ' ') AS list_price_status,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_cache_savings
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
ORDER BY saved_usd IS NULL, saved_usd DESC, team, vendor, model
