CREATE OR REPLACE VIEW ai_usage.kpi_anomaly (
  usage_date OPTIONS (description = "UTC day of the anomaly."),
  vendor OPTIONS (description = "Vendor."),
  cost_basis OPTIONS (description = "billed: owed on top of seats. included: usage that a seat or pool covers, at no extra cost. Never add the two."),
  event OPTIONS (description = "Identifier of the anomaly, the same in every dimension in which it appears: day, vendor, cost basis and main source."),
  event_rank OPTIONS (description = "1 for the most specific row of the anomaly: the API key or service identity, then the person, the team, the model. Filter on 1 to count anomalies or to sum their dollars."),
  dimension OPTIONS (description = "api_key, robot (service account, automation, cloud agent or federated workload), person, team or model."),
  dimension_value OPTIONS (description = "Id, e-mail or name within the dimension."),
  dimension_name OPTIONS (description = "Name of an API key; NULL for others."),
  person_email OPTIONS (description = "Person who accounts for most of the excess; NULL when there is none."),
  team OPTIONS (description = "Team that accounts for most of the excess; NULL when there is none."),
  api_key_id OPTIONS (description = "API key that accounts for most of the excess; NULL when there is none."),
  top_model OPTIONS (description = "Model that accounts for the largest part of the excess."),
  top_model_share_of_excess OPTIONS (description = "Share of that model in the excess of all models: 1 = all of it."),
  amount_usd OPTIONS (description = "US dollars of the day."),
  expected_usd OPTIONS (description = "Expected US dollars; see baseline."),
  excess_usd OPTIONS (description = "US dollars above the expected amount."),
  score OPTIONS (description = "Distance of the day from its expected amount and from a typical day with spend (the median of the eight weeks before; of working days for a working day), in units of the usual spread: 1.4826 times the median absolute deviation, at least a fifth of the typical day and at least 2 dollars. NULL for the baseline peers."),
  baseline OPTIONS (description = "How the expected amount is computed. same_weekday: median of the same weekday in the eight weeks before (at least four). all_days: median of all days of these weeks, for shorter histories. peers: 90th percentile of the peers on the day, when there is too little history."),
  days_of_history OPTIONS (description = "Number of days of the eight weeks before on which the item existed and the vendor's bill is loaded, including days without spend; at most 56."),
  is_provisional OPTIONS (description = "Whether the vendor can still restate the day."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Days on which the cost of an API key, service identity (robot), person, team or model is far outside its usual range. An anomaly is at least 25 dollars above the median of the same weekday in the eight weeks before, at least twice a typical day with spend, and has a score of at least 6, or 8 when it comes from one person. A day without spend counts as zero when the vendor's bill of the day is loaded and the item existed. An item with little history (fewer than 7 days, or fewer than 5 days with spend) is compared with its peers: it must be 100 dollars above, and three times, their 90th percentile. In its first four weeks, a key, service identity or person must also exceed its peers, and a team or model must be 100 dollars above the expected amount. A team, a model or a new item counts only when the vendor's total rises by at least half as much, so that a new model, a rotated key or a person who changes teams is no anomaly. The first week of a vendor has no anomalies. Seats and drops have no anomalies.")
AS
WITH loaded_day AS (
  SELECT DISTINCT entry.vendor, entry.usage_date
  FROM ai_usage.ops_asset_days AS entry
  JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = entry.asset
  WHERE entry.completed_at IS NOT NULL
), spike AS (
  SELECT
    baselined.*,
    baselined.amount_usd - baselined.expected_usd AS excess_usd
  FROM ai_usage.int_anomaly_score_daily AS baselined
  JOIN ai_usage.int_anomaly_score_daily AS vendor_day
    ON vendor_day.dimension = 'vendor'
    AND vendor_day.vendor = baselined.vendor
    AND vendor_day.cost_basis = baselined.cost_basis
    AND vendor_day.usage_date = baselined.usage_date
  WHERE baselined.dimension <> 'vendor'
    -- A new vendor has no baseline.
    AND vendor_day.baseline <> 'peers'
    AND CASE baselined.baseline
      WHEN 'peers'
        THEN baselined.amount_usd >= baselined.expected_usd + 100 AND baselined.amount_usd >= baselined.expected_usd * 3
      ELSE baselined.amount_usd >= baselined.expected_usd + 25
        AND baselined.amount_usd >= baselined.usual_usd * 2
        AND baselined.amount_usd - baselined.usual_usd >= baselined.spread_usd * CASE WHEN baselined.is_personal THEN 8 ELSE 6 END
        AND (
          baselined.baseline = 'same_weekday'
          -- Adoption by many people grows for weeks.
          OR (baselined.dimension IN ('team', 'model') AND baselined.amount_usd >= baselined.expected_usd + 100)
          OR (baselined.dimension NOT IN ('team', 'model') AND baselined.amount_usd > baselined.peers_usd)
        )
    END
    AND (
      (baselined.baseline <> 'peers' AND baselined.dimension NOT IN ('team', 'model'))
      OR (vendor_day.amount_usd - vendor_day.expected_usd) * 2 >= baselined.amount_usd - baselined.expected_usd
    )
), compared_day AS (
  -- The day of the spike, and the days of its baseline.
  SELECT candidate_id, vendor, cost_basis, dimension, dimension_value, usage_date AS cost_date, TRUE AS is_spike
  FROM spike
  UNION ALL
  SELECT
    spike.candidate_id, spike.vendor, spike.cost_basis, spike.dimension, spike.dimension_value, loaded_day.usage_date,
    FALSE
  FROM spike
  JOIN loaded_day
    ON loaded_day.vendor = spike.vendor
    AND loaded_day.usage_date >= GREATEST(spike.first_date, DATE_SUB(spike.usage_date, INTERVAL 56 DAY))
    AND loaded_day.usage_date < spike.usage_date
  WHERE spike.baseline = 'all_days'
    OR (spike.baseline = 'same_weekday' AND MOD(DATE_DIFF(spike.usage_date, loaded_day.usage_date, DAY), 7) = 0)
), change AS (
  -- Cost per source and model on the day and on the days of the baseline.
  SELECT
    compared_day.candidate_id, cost.source, cost.person_email, cost.team, cost.api_key_id, cost.model,
    CASE WHEN compared_day.is_spike THEN cost.amount_usd ELSE NUMERIC '0' END AS day_usd,
    CASE WHEN compared_day.is_spike THEN NUMERIC '0' ELSE cost.amount_usd END AS before_usd
  FROM compared_day
  JOIN ai_usage.int_anomaly_cost_daily AS cost
    ON cost.vendor = compared_day.vendor
    AND cost.cost_basis = compared_day.cost_basis
    AND cost.usage_date = compared_day.cost_date
    AND compared_day.dimension_value = CASE compared_day.dimension
      WHEN 'api_key' THEN cost.api_key_id
      WHEN 'robot' THEN cost.robot_id
      WHEN 'person' THEN cost.person_email
      WHEN 'team' THEN cost.team
      WHEN 'model' THEN cost.model
      ELSE cost.vendor
    END
), baseline_days AS (
  SELECT candidate_id, COUNTIF(NOT is_spike) AS days
  FROM compared_day
  GROUP BY candidate_id
), part_of AS (
  SELECT 'source' AS part UNION ALL SELECT 'person' UNION ALL SELECT 'team' UNION ALL SELECT 'api_key'
  UNION ALL SELECT 'model'
), by_part AS (
  SELECT
    change.candidate_id,
    part_of.part,
    CASE part_of.part
      WHEN 'source' THEN change.source
      WHEN 'person' THEN change.person_email
      WHEN 'team' THEN change.team
      WHEN 'api_key' THEN change.api_key_id
      ELSE change.model
    END AS part_value,
    SUM(change.day_usd) - COALESCE(
      CAST(ROUND(CAST(SAFE_DIVIDE(SUM(change.before_usd), MAX(baseline_days.days)) AS NUMERIC), 6) AS NUMERIC), 0
    ) AS more_usd
  FROM change
  JOIN baseline_days ON baseline_days.candidate_id = change.candidate_id
  CROSS JOIN part_of
  GROUP BY
    change.candidate_id, part_of.part,
    CASE part_of.part
      WHEN 'source' THEN change.source
      WHEN 'person' THEN change.person_email
      WHEN 'team' THEN change.team
      WHEN 'api_key' THEN change.api_key_id
      ELSE change.model
    END
), shared AS (
  SELECT
    candidate_id,
    part,
    part_value,
    CAST(ROUND(CAST(SAFE_DIVIDE(
      more_usd, SUM(GREATEST(more_usd, 0)) OVER (PARTITION BY candidate_id, part)
    ) AS NUMERIC), 6) AS NUMERIC) AS share_of_excess,
    ROW_NUMBER() OVER (PARTITION BY candidate_id, part ORDER BY more_usd DESC, part_value NULLS LAST) AS part_no
  FROM by_part
), explained AS (
  SELECT
    candidate_id,
    MAX(CASE WHEN part = 'source' AND share_of_excess >= 0.5 THEN part_value END) AS source,
    MAX(CASE WHEN part = 'person' AND share_of_excess >= 0.5 THEN part_value END) AS person_email,
    MAX(CASE WHEN part = 'team' AND share_of_excess >= 0.5 THEN part_value END) AS team,
    MAX(CASE WHEN part = 'api_key' AND share_of_excess >= 0.5 THEN part_value END) AS api_key_id,
    MAX(CASE WHEN part = 'model' THEN part_value END) AS top_model,
    MAX(CASE WHEN part = 'model' THEN share_of_excess END) AS top_model_share_of_excess
  FROM shared
  WHERE part_no = 1
  GROUP BY candidate_id
), explained_spike AS (
  SELECT
    spike.*,
    explained.source,
    explained.person_email,
    explained.team,
    explained.api_key_id,
    explained.top_model,
    explained.top_model_share_of_excess,
    CASE WHEN spike.dimension = 'team' THEN spike.dimension_value ELSE explained.team END AS main_team
  FROM spike
  JOIN explained ON explained.candidate_id = spike.candidate_id
), broad AS (
  -- Whether a model or team has an anomaly without one source that accounts for half of it.
  SELECT
    *,
    LOGICAL_OR(dimension = 'model' AND source IS NULL) OVER (
      PARTITION BY vendor, cost_basis, usage_date, top_model
    ) AS is_of_broad_model,
    LOGICAL_OR(dimension = 'team' AND source IS NULL) OVER (
      PARTITION BY vendor, cost_basis, usage_date, main_team
    ) AS is_of_broad_team
  FROM explained_spike
), labeled AS (
  SELECT
    *,
    -- Assign narrower rows to the broad anomaly that contains them.
    CASE
      WHEN is_of_broad_model THEN CONCAT('model ', top_model)
      WHEN is_of_broad_team THEN CONCAT('team ', main_team)
      ELSE COALESCE(source, CONCAT(dimension, ' ', dimension_value))
    END AS main_source
  FROM broad
)
SELECT
  labeled.usage_date,
  labeled.vendor,
  labeled.cost_basis,
  CONCAT(
    CAST(labeled.usage_date AS STRING), '|', labeled.vendor, '|', labeled.cost_basis, '|', labeled.main_source
  ) AS event,
  ROW_NUMBER() OVER (
    PARTITION BY labeled.usage_date, labeled.vendor, labeled.cost_basis, labeled.main_source
    ORDER BY
      labeled.main_source = CONCAT(labeled.dimension, ' ', labeled.dimension_value) DESC,
      CASE labeled.dimension WHEN 'api_key' THEN 1 WHEN 'robot' THEN 2 WHEN 'person' THEN 3 WHEN 'team' THEN 4 ELSE 5 END,
      labeled.excess_usd DESC,
      labeled.dimension_value
  ) AS event_rank,
  labeled.dimension,
  labeled.dimension_value,
  api_key.name AS dimension_name,
  labeled.person_email,
  labeled.team,
  labeled.api_key_id,
  labeled.top_model,
  labeled.top_model_share_of_excess,
  labeled.amount_usd,
  labeled.expected_usd,
  labeled.excess_usd,
  CASE
    WHEN labeled.baseline <> 'peers'
      THEN CAST(ROUND(CAST(SAFE_DIVIDE(
        labeled.amount_usd - labeled.usual_usd, labeled.spread_usd
      ) AS NUMERIC), 6) AS NUMERIC)
  END AS score,
  labeled.baseline,
  labeled.days_of_history,
  labeled.is_provisional,
  day.as_of_date
FROM labeled
LEFT JOIN ai_usage.dim_date AS day ON day.usage_date = labeled.usage_date
LEFT JOIN ai_usage.dim_api_key AS api_key
  ON labeled.dimension = 'api_key' AND api_key.vendor = labeled.vendor AND api_key.api_key_id = labeled.dimension_value
