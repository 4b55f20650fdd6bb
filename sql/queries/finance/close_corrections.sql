-- Corrections of a closed month: their sum, and the sum of those above zero.
SELECT SUM(amount_usd) AS amount_usd, SUM(CASE WHEN amount_usd > 0 THEN amount_usd END) AS moved_usd
FROM ai_usage.kpi_chargeback
WHERE usage_month = @month AND line_type = 'correction'
