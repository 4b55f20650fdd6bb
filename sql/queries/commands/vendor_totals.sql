-- Totals of every vendor over all loaded days.
SELECT
  cost.vendor,
  cost.billed_usd,
  cost.included_usd,
  cost.seat_usd,
  cost.requests,
  tokens.tokens
FROM (
  SELECT
    vendor,
    SUM(CASE WHEN cost_basis = 'billed' THEN amount_usd END) AS billed_usd,
    SUM(CASE WHEN cost_basis = 'included' THEN amount_usd END) AS included_usd,
    SUM(CASE WHEN cost_basis = 'seat' THEN amount_usd END) AS seat_usd,
    CAST(SUM(requests) AS INT64) AS requests
  FROM ai_usage.fct_cost_daily
  GROUP BY vendor
) AS cost
LEFT JOIN (
  SELECT vendor, CAST(SUM(total_tokens) AS INT64) AS tokens FROM ai_usage.fct_tokens_daily GROUP BY vendor
) AS tokens ON tokens.vendor = cost.vendor
