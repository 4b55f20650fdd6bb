WITH total AS (
  SELECT
    SUM(previous_amount_usd) AS previous_amount_usd, SUM(volume_effect_usd) AS volume_effect_usd,
    SUM(mix_effect_usd) AS mix_effect_usd, SUM(price_effect_usd) AS price_effect_usd
  FROM ai_usage.kpi_model_mix
  WHERE month = COALESCE([[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over))
    AND cost_basis = 'billed' [[AND vendor IN ({{vendor}})]]
  -- Of a vendor that cannot be compared nothing is: without it the steps would not end at what is billed.
  HAVING COUNTIF(previous_amount_usd IS NULL) = 0
), step AS (
  SELECT 1 AS place, 'Same days of the month before' AS step, previous_amount_usd AS amount_usd FROM total
  UNION ALL
  SELECT 2, 'Volume', volume_effect_usd FROM total
  UNION ALL
  SELECT 3, 'Mix of models', mix_effect_usd FROM total
  UNION ALL
  SELECT 4, 'Price', price_effect_usd FROM total
)
SELECT step, amount_usd
FROM step
ORDER BY place
