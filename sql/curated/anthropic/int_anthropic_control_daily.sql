CREATE TABLE IF NOT EXISTS ai_usage.int_anthropic_control_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  control STRING NOT NULL OPTIONS (description = "day_total, cost_components or actor_types (totals of the same API), classic_cost_report (a second API), or detail (the records themselves)."),
  control_usd NUMERIC OPTIONS (description = "Total in US dollars."),
  records INT64 NOT NULL OPTIONS (description = "Number of records in the total; the vendor can have rounded each of them.")
)
PARTITION BY usage_date
OPTIONS (description = "Control totals that Anthropic reports for each day. They are stored so that finance models do not read the raw records again.")
AS
SELECT usage_date, 'detail' AS control, SUM(amount_usd) AS control_usd, COUNT(*) AS records
FROM ai_usage.stg_anthropic_cost
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY usage_date
UNION ALL
SELECT usage_date, 'day_total', SUM(amount_usd), COUNT(*)
FROM ai_usage.stg_anthropic_cost_total
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY usage_date
UNION ALL
SELECT usage_date, 'cost_components', SUM(amount_usd), COUNT(*)
FROM ai_usage.stg_anthropic_cost_components
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY usage_date
UNION ALL
SELECT usage_date, 'actor_types', SUM(amount_usd), COUNT(*)
FROM ai_usage.stg_anthropic_cost_by_actor_type
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY usage_date
UNION ALL
SELECT usage_date, 'classic_cost_report', SUM(amount_usd), COUNT(*)
FROM ai_usage.stg_anthropic_cost_report
WHERE usage_date BETWEEN @start_day AND @end_day
GROUP BY usage_date
