-- Dollars and tokens of each day, with the classic report's dollars and the list price of the same tokens.
WITH price AS (
  -- The lower price of models with two prices; the factor of 20 is far larger than the difference.
  SELECT
    model, effective_from, effective_to, input_usd, cache_write_5m_usd, cache_write_1h_usd, cache_read_usd, output_usd
  FROM ai_usage.dim_model_price
  WHERE prompt_tier IN ('any', 'up to 100000')
), cost AS (
  SELECT usage_date, model, SUM(amount_usd) AS amount_usd
  FROM ai_usage.stg_anthropic_cost WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date, model
), token AS (
  SELECT
    usage_date, model, SUM(total_tokens) AS tokens, SUM(uncached_input_tokens) AS inputs,
    SUM(cache_write_5m_tokens) AS writes_5m, SUM(cache_write_1h_tokens) AS writes_1h, SUM(cache_read_tokens) AS reads,
    SUM(output_tokens) AS outputs
  FROM ai_usage.stg_anthropic_usage WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date, model
), priced AS (
  SELECT
    token.usage_date,
    SUM(cost.amount_usd) AS priced_usd,
    SUM(CAST((token.inputs * price.input_usd + token.writes_5m * price.cache_write_5m_usd
      + token.writes_1h * price.cache_write_1h_usd + token.reads * price.cache_read_usd
      + token.outputs * price.output_usd) * NUMERIC '0.000001' AS NUMERIC)) AS list_usd
  FROM token
  JOIN cost ON cost.usage_date = token.usage_date AND cost.model = token.model
  JOIN price
    ON (price.model = token.model OR STARTS_WITH(token.model, CONCAT(price.model, '-20')))
    AND token.usage_date >= price.effective_from
    AND token.usage_date < price.effective_to
  GROUP BY token.usage_date
), day_cost AS (
  SELECT usage_date, SUM(amount_usd) AS amount_usd FROM cost GROUP BY usage_date
), day_token AS (
  SELECT usage_date, SUM(tokens) AS tokens FROM token GROUP BY usage_date
), classic AS (
  SELECT usage_date, SUM(amount_usd) AS amount_usd FROM ai_usage.stg_anthropic_cost_report
  WHERE usage_date BETWEEN @start_day AND @end_day GROUP BY usage_date
)
SELECT
  day_cost.usage_date, day_cost.amount_usd, day_token.tokens, classic.amount_usd AS other_usd, priced.priced_usd,
  priced.list_usd
FROM day_cost
JOIN day_token ON day_token.usage_date = day_cost.usage_date
LEFT JOIN classic ON classic.usage_date = day_cost.usage_date
LEFT JOIN priced ON priced.usage_date = day_cost.usage_date
ORDER BY usage_date
