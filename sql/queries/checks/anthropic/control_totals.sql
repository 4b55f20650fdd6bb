-- Days whose cost records differ from one of Anthropic's three control totals by more than rounding.
WITH detail AS (
  SELECT usage_date, SUM(amount_usd) AS amount_usd, COUNT(*) AS records
  FROM ai_usage.stg_anthropic_cost WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date
), control_record AS (
  SELECT 'the day total' AS control, usage_date, amount_usd FROM ai_usage.stg_anthropic_cost_total
  WHERE usage_date BETWEEN @start_day AND @end_day
  UNION ALL
  SELECT 'the cost components', usage_date, amount_usd FROM ai_usage.stg_anthropic_cost_components
  WHERE usage_date BETWEEN @start_day AND @end_day
  UNION ALL
  SELECT 'the actor types', usage_date, amount_usd FROM ai_usage.stg_anthropic_cost_by_actor_type
  WHERE usage_date BETWEEN @start_day AND @end_day
), control_total AS (
  SELECT control, usage_date, SUM(amount_usd) AS amount_usd, COUNT(*) AS records
  FROM control_record GROUP BY control, usage_date
), expected AS (
  -- Each day with any record must have all three totals.
  SELECT day.usage_date, name.control
  FROM (SELECT usage_date FROM detail UNION DISTINCT SELECT usage_date FROM control_total) AS day
  CROSS JOIN (
    SELECT 'the day total' AS control UNION ALL SELECT 'the cost components' UNION ALL SELECT 'the actor types'
  ) AS name
), difference AS (
  SELECT
    expected.usage_date, expected.control, detail.amount_usd AS detail_usd, control_total.amount_usd AS control_usd,
    ABS(COALESCE(detail.amount_usd, 0) - COALESCE(control_total.amount_usd, 0)) AS difference_usd,
    COALESCE(detail.records, 0) + COALESCE(control_total.records, 0) AS records
  FROM expected
  LEFT JOIN detail ON detail.usage_date = expected.usage_date
  LEFT JOIN control_total
    ON control_total.usage_date = expected.usage_date AND control_total.control = expected.control
)
SELECT
  usage_date, control, detail_usd, control_usd,
  -- The same dollars are missing from each control; they count once.
  CASE WHEN ROW_NUMBER() OVER (PARTITION BY usage_date ORDER BY control) = 1 THEN difference_usd END AS amount_usd
FROM difference
WHERE difference_usd > records * @row_rounding_usd
ORDER BY usage_date, control
