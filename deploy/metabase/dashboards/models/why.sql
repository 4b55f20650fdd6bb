-- Of a vendor that cannot be compared nothing is said: without it the parts would not add up to the change.
WITH total AS (
  SELECT
    SUM(volume_effect_usd) AS volume_effect_usd, SUM(mix_effect_usd) AS mix_effect_usd,
    SUM(price_effect_usd) AS price_effect_usd, SUM(change_usd) AS change_usd
  FROM ai_usage.kpi_model_mix
  WHERE month = COALESCE(
    [[CAST(CONCAT({{month}}, '-01') AS DATE),]] (SELECT MAX(month) FROM ai_usage.dim_date WHERE is_over)
  )
    AND cost_basis = 'billed' [[AND vendor IN ({{vendor}})]]
  HAVING COUNTIF(previous_amount_usd IS NULL) = 0
), effect AS (
  SELECT 1 AS place, 'Volume' AS part, volume_effect_usd AS amount_usd FROM total
  UNION ALL
  SELECT 2, 'Mix of models', mix_effect_usd FROM total
  UNION ALL
  SELECT 3, 'Price', price_effect_usd FROM total
  UNION ALL
  SELECT 4, 'All together', change_usd FROM total
)
SELECT part, amount_usd
FROM effect
ORDER BY place
