-- Usage and unit cost of each model in the month.
SELECT vendor, cost_basis, model, amount_usd, requests, total_tokens, usd_per_million_tokens
FROM ai_usage.kpi_unit_cost
WHERE month = @month
ORDER BY cost_basis, amount_usd DESC, vendor, model
