SELECT
  vendor, model, amount_usd, share_of_amount, previous_amount_usd, change_usd, volume_effect_usd, mix_effect_usd,
  price_effect_usd,
  CASE WHEN is_provisional THEN 'provisional' ELSE 'final' END AS status
FROM ai_usage.kpi_model_mix
WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
  [[AND vendor IN ({{vendor}})]]
  AND cost_basis = 'billed'
ORDER BY ABS(change_usd) DESC, vendor, model
