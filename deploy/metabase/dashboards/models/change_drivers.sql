-- Empty if a vendor cannot be compared with the month before: the parts would not add up to the change.
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
), effects AS (
  SELECT 1 AS position, 'Volume' AS effect, volume_effect_usd AS amount_usd FROM total
  UNION ALL
  SELECT 2, 'Model mix', mix_effect_usd FROM total
  UNION ALL
  SELECT 3, 'Price', price_effect_usd FROM total
  UNION ALL
  SELECT 4, 'Total change', change_usd FROM total
)
SELECT effect, amount_usd
FROM effects
ORDER BY position
