-- Days whose facts differ from a control. The classic report is another API that is close by design, not equal.
SELECT vendor, control, usage_date, ABS(difference_usd) AS amount_usd
FROM ai_usage.kpi_reconciliation
WHERE status = 'differs' AND control <> 'classic_cost_report' AND usage_date BETWEEN @first_day AND @last_day
ORDER BY vendor, control, usage_date
