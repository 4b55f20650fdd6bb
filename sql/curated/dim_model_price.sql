CREATE TABLE IF NOT EXISTS ai_usage.dim_model_price (
  model STRING NOT NULL OPTIONS (description = "Model without the date at the end of its name."),
  prompt_tier STRING NOT NULL OPTIONS (description = "any, or the length of the prompt in tokens to which the price applies."),
  effective_from DATE NOT NULL OPTIONS (description = "First UTC day on which the price applies."),
  effective_to DATE NOT NULL OPTIONS (description = "First UTC day on which the row no longer applies; 9999-12-31 = open."),
  input_usd NUMERIC NOT NULL OPTIONS (description = "US dollars per million uncached input tokens."),
  cache_write_5m_usd NUMERIC NOT NULL OPTIONS (description = "US dollars per million tokens written to the 5-minute cache."),
  cache_write_1h_usd NUMERIC NOT NULL OPTIONS (description = "US dollars per million tokens written to the 1-hour cache."),
  cache_read_usd NUMERIC NOT NULL OPTIONS (description = "US dollars per million tokens read from a cache."),
  output_usd NUMERIC NOT NULL OPTIONS (description = "US dollars per million output tokens.")
)
OPTIONS (description = "Published list prices of models on 2026-11-23, for standard service. No billed amount comes from this table; it lists the known models and the expected unit costs.")
AS
WITH price AS (
  SELECT 'claude-fable-5-1' AS model, 'any' AS prompt_tier, DATE '0001-01-01' AS effective_from, DATE '9999-12-31' AS effective_to,
    NUMERIC '10' AS input_usd, NUMERIC '0.25' AS cache_read_usd, NUMERIC '50' AS output_usd
  UNION ALL
  SELECT 'claude-mythos-5-1', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '10', NUMERIC '0.25', NUMERIC '50'
  UNION ALL
  SELECT 'claude-fable-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '10', NUMERIC '1', NUMERIC '50'
  UNION ALL
  SELECT 'claude-mythos-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '10', NUMERIC '1', NUMERIC '50'
  UNION ALL
  SELECT 'claude-opus-5-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '4', NUMERIC '0.2', NUMERIC '20'
  UNION ALL
  SELECT 'claude-opus-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '5', NUMERIC '0.5', NUMERIC '25'
  UNION ALL
  SELECT 'claude-opus-4-8', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '5', NUMERIC '0.5', NUMERIC '25'
  UNION ALL
  SELECT 'claude-opus-4-7', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '5', NUMERIC '0.5', NUMERIC '25'
  UNION ALL
  SELECT 'claude-opus-4-6', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '5', NUMERIC '0.5', NUMERIC '25'
  UNION ALL
  SELECT 'claude-opus-4-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '5', NUMERIC '0.5', NUMERIC '25'
  UNION ALL
  SELECT 'claude-opus-4-1', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '15', NUMERIC '1.5', NUMERIC '75'
  UNION ALL
  SELECT 'claude-opus-4', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '15', NUMERIC '1.5', NUMERIC '75'
  UNION ALL
  SELECT 'claude-sonnet-5-5', 'any', DATE '0001-01-01', DATE '2026-10-07', NUMERIC '2', NUMERIC '0.2', NUMERIC '10'
  UNION ALL
  SELECT 'claude-sonnet-5-5', 'any', DATE '2026-10-07', DATE '9999-12-31', NUMERIC '2', NUMERIC '0.1', NUMERIC '10'
  UNION ALL
  SELECT 'claude-sonnet-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '2', NUMERIC '0.2', NUMERIC '10'
  UNION ALL
  SELECT 'claude-sonnet-4-6', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '3', NUMERIC '0.3', NUMERIC '15'
  UNION ALL
  SELECT 'claude-sonnet-4-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '3', NUMERIC '0.3', NUMERIC '15'
  UNION ALL
  SELECT 'claude-sonnet-4', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '3', NUMERIC '0.3', NUMERIC '15'
  UNION ALL
  SELECT 'claude-haiku-5-5', 'up to 100000', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '0.1', NUMERIC '0.01', NUMERIC '0.5'
  UNION ALL
  SELECT 'claude-haiku-5-5', 'over 100000', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '0.5', NUMERIC '0.05', NUMERIC '2.5'
  UNION ALL
  SELECT 'claude-haiku-4-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '1', NUMERIC '0.1', NUMERIC '5'
  UNION ALL
  SELECT 'claude-haiku-3-5', 'any', DATE '0001-01-01', DATE '9999-12-31', NUMERIC '0.8', NUMERIC '0.08', NUMERIC '4'
)
SELECT
  model,
  prompt_tier,
  effective_from,
  effective_to,
  input_usd,
  CAST(input_usd * NUMERIC '1.25' AS NUMERIC) AS cache_write_5m_usd,
  CAST(input_usd * NUMERIC '2' AS NUMERIC) AS cache_write_1h_usd,
  cache_read_usd,
  output_usd
FROM price
