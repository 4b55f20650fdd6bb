CREATE OR REPLACE VIEW ai_usage.kpi_model_mix (
  month OPTIONS (description = "First day of the month; the current month is month to date."),
  vendor OPTIONS (description = "Vendor."),
  cost_basis OPTIONS (description = "billed or included; seats have no model."),
  model OPTIONS (description = "Model as the vendor names it; `no model` for cost that belongs to no model."),
  amount_usd OPTIONS (description = "US dollars."),
  requests OPTIONS (description = "Number of requests; NULL where the vendor does not count them."),
  total_tokens OPTIONS (description = "Tokens of all classes."),
  share_of_amount OPTIONS (description = "Share of the dollars of the vendor, month and cost basis; NULL when credits leave no positive total."),
  share_of_tokens OPTIONS (description = "Share of the tokens of the vendor, month and cost basis."),
  previous_amount_usd OPTIONS (description = "US dollars of the same days of the previous month (all days when the month is over); NULL, like all columns that follow, unless these days and those of this month are complete."),
  previous_total_tokens OPTIONS (description = "Tokens of the same days of the previous month."),
  change_usd OPTIONS (description = "US dollars minus those of the same days of the previous month: the sum of price, volume and mix effect, to the last digit."),
  price_effect_usd OPTIONS (description = "Part of the change due to the price per token of this model (list prices, discounts, and the blend of input, output and cache): (price - previous price) x tokens."),
  volume_effect_usd OPTIONS (description = "Part of the change due to the number of all tokens, if all models had grown at the same rate: previous dollars x growth of all tokens. Cost without tokens in both months changes by volume alone."),
  mix_effect_usd OPTIONS (description = "Part of the change due to this model growing faster or slower than all tokens: (tokens - previous tokens x (1 + growth of all tokens)) x previous price. All dollars of a new model are mix effect."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate a day of either month."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Cost and tokens by model as shares of the vendor's month and cost basis, and the reasons for the change since the same days of the previous month. With a = dollars, t = tokens and p = a / t of a model, T = tokens of all models of the vendor and cost basis, 0 = before, 1 = now: volume = a0 x (T1 / T0 - 1), mix = p0 x t1 - a0 x T1 / T0, price = a1 - p0 x t1; the three add up to a1 - a0. Without any previous tokens the whole change is volume. A model that is no longer used keeps its row.")
AS
WITH daily AS (
  SELECT
    usage_date, vendor, cost_basis, model, amount_usd, CASE WHEN has_cost THEN requests END AS requests, total_tokens
  FROM ai_usage.int_usage_daily
), model_day AS (
  SELECT
    daily.usage_date,
    DATE_TRUNC(daily.usage_date, MONTH) AS month,
    daily.vendor,
    daily.cost_basis,
    COALESCE(daily.model, 'no model') AS model,
    SUM(daily.amount_usd) AS amount_usd,
    CAST(SUM(daily.requests) AS INT64) AS requests,
    CAST(SUM(daily.total_tokens) AS INT64) AS total_tokens,
    LOGICAL_OR(settlement.is_provisional) AS is_provisional,
    MAX(settlement.as_of_date) AS as_of_date
  FROM daily
  LEFT JOIN ai_usage.int_settlement_daily AS settlement
    ON settlement.usage_date = daily.usage_date AND settlement.vendor = daily.vendor
  GROUP BY daily.usage_date, daily.vendor, daily.cost_basis, COALESCE(daily.model, 'no model')
), comparable_month AS (
  SELECT month, vendor, through_date, is_month_over
  FROM ai_usage.int_month_completeness
  WHERE is_comparable
), line AS (
  -- Each day counts for its own month and as the previous month of the next one.
  SELECT
    month, vendor, cost_basis, model, amount_usd, requests, total_tokens, CAST(NULL AS NUMERIC) AS previous_usd,
    CAST(NULL AS INT64) AS previous_tokens, is_provisional, as_of_date
  FROM model_day
  UNION ALL
  SELECT
    comparable_month.month, day.vendor, day.cost_basis, day.model, CAST(NULL AS NUMERIC), CAST(NULL AS INT64), CAST(NULL AS INT64),
    day.amount_usd, day.total_tokens, day.is_provisional, day.as_of_date
  FROM model_day AS day
  JOIN comparable_month ON comparable_month.vendor = day.vendor AND comparable_month.month = DATE_ADD(day.month, INTERVAL 1 MONTH)
  WHERE comparable_month.is_month_over OR EXTRACT(DAY FROM day.usage_date) <= EXTRACT(DAY FROM comparable_month.through_date)
), monthly AS (
  SELECT
    line.month,
    line.vendor,
    line.cost_basis,
    line.model,
    COALESCE(SUM(line.amount_usd), 0) AS amount_usd,
    CAST(SUM(line.requests) AS INT64) AS requests,
    CAST(SUM(line.total_tokens) AS INT64) AS total_tokens,
    CASE WHEN MAX(comparable_month.month) IS NOT NULL THEN COALESCE(SUM(line.previous_usd), 0) END AS previous_amount_usd,
    CAST(SUM(line.previous_tokens) AS INT64) AS previous_total_tokens,
    LOGICAL_OR(line.is_provisional) AS is_provisional,
    MAX(line.as_of_date) AS as_of_date
  FROM line
  LEFT JOIN comparable_month ON comparable_month.vendor = line.vendor AND comparable_month.month = line.month
  GROUP BY line.month, line.vendor, line.cost_basis, line.model
), with_totals AS (
  SELECT
    *,
    COALESCE(total_tokens, 0) AS t1,
    COALESCE(previous_total_tokens, 0) AS t0,
    COALESCE(SUM(total_tokens) OVER (PARTITION BY month, vendor, cost_basis), 0) AS all_t1,
    COALESCE(SUM(previous_total_tokens) OVER (PARTITION BY month, vendor, cost_basis), 0) AS all_t0
  FROM monthly
), effect AS (
  SELECT
    *,
    CASE
      WHEN previous_amount_usd IS NULL THEN CAST(NULL AS NUMERIC)
      WHEN (t0 = 0 AND t1 = 0) OR all_t0 = 0 THEN amount_usd - previous_amount_usd
      WHEN t0 = 0 THEN NUMERIC '0'
      ELSE CAST(ROUND(CAST(SAFE_DIVIDE(previous_amount_usd * (all_t1 - all_t0), all_t0) AS NUMERIC), 9) AS NUMERIC)
    END AS volume_effect_usd,
    CASE
      WHEN previous_amount_usd IS NULL THEN CAST(NULL AS NUMERIC)
      -- Only a model with tokens in both months has two prices.
      WHEN t0 > 0 AND t1 > 0 THEN amount_usd - CAST(ROUND(CAST(SAFE_DIVIDE(previous_amount_usd * t1, t0) AS NUMERIC), 9) AS NUMERIC)
      ELSE NUMERIC '0'
    END AS price_effect_usd
  FROM with_totals
)
SELECT
  month,
  vendor,
  cost_basis,
  model,
  amount_usd,
  requests,
  total_tokens,
  CASE
    WHEN SUM(amount_usd) OVER (PARTITION BY month, vendor, cost_basis) > 0 THEN CAST(ROUND(CAST(SAFE_DIVIDE(
      amount_usd, SUM(amount_usd) OVER (PARTITION BY month, vendor, cost_basis)
    ) AS NUMERIC), 6) AS NUMERIC)
  END AS share_of_amount,
  CAST(ROUND(CAST(SAFE_DIVIDE(
    total_tokens, SUM(total_tokens) OVER (PARTITION BY month, vendor, cost_basis)
  ) AS NUMERIC), 6) AS NUMERIC) AS share_of_tokens,
  previous_amount_usd,
  previous_total_tokens,
  amount_usd - previous_amount_usd AS change_usd,
  price_effect_usd,
  volume_effect_usd,
  -- The remainder, so that the three effects add up to the last digit.
  amount_usd - previous_amount_usd - price_effect_usd - volume_effect_usd AS mix_effect_usd,
  COALESCE(is_provisional, TRUE) AS is_provisional,
  as_of_date
FROM effect
