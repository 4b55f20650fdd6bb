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
WITH facet AS (
  SELECT 'api_key' AS dimension UNION ALL SELECT 'robot' UNION ALL SELECT 'person' UNION ALL SELECT 'team'
  UNION ALL SELECT 'model' UNION ALL SELECT 'vendor'
), loaded_day AS (
  SELECT DISTINCT entry.vendor, entry.usage_date
  FROM ai_usage.ops_asset_days AS entry
  JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = entry.asset
  WHERE entry.completed_at IS NOT NULL
), cost AS (
  SELECT
    usage_date,
    vendor,
    cost_basis,
    person_email,
    team,
    api_key_id,
    CASE
      WHEN principal_type IN ('service_account', 'automation', 'cloud_agent', 'federated') THEN principal_id
    END AS robot_id,
    COALESCE(model, 'no model') AS model,
    -- The main source of an anomaly is the same in every dimension.
    COALESCE(person_email, api_key_id, principal_id, 'nobody') AS source,
    SUM(amount_usd) AS amount_usd,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM ai_usage.fct_cost_daily
  WHERE cost_basis <> 'seat'
  GROUP BY
    usage_date, vendor, cost_basis, person_email, team, api_key_id,
    CASE
      WHEN principal_type IN ('service_account', 'automation', 'cloud_agent', 'federated') THEN principal_id
    END,
    COALESCE(model, 'no model'), COALESCE(person_email, api_key_id, principal_id, 'nobody')
), faceted_cost AS (
  SELECT
    cost.*,
    facet.dimension,
    CASE facet.dimension
      WHEN 'api_key' THEN api_key_id
      WHEN 'robot' THEN robot_id
      WHEN 'person' THEN person_email
      WHEN 'team' THEN team
      WHEN 'model' THEN model
      ELSE vendor
    END AS dimension_value
  FROM cost
  CROSS JOIN facet
), series AS (
  SELECT
    vendor,
    cost_basis,
    dimension,
    dimension_value,
    usage_date,
    -- Usage of persons varies more and has a higher threshold.
    dimension IN ('api_key', 'robot', 'person') AND COUNTIF(person_email IS NULL) = 0 AS is_personal,
    SUM(amount_usd) AS amount_usd,
    LOGICAL_OR(is_provisional) AS is_provisional
  FROM faceted_cost
  WHERE dimension_value IS NOT NULL
  GROUP BY vendor, cost_basis, dimension, dimension_value, usage_date
), history_start AS (
  SELECT
    *,
    MIN(usage_date) OVER (PARTITION BY vendor, cost_basis, dimension, dimension_value) AS first_date
  FROM series
), peer AS (
  SELECT
    vendor,
    cost_basis,
    dimension,
    usage_date,
    amount_usd,
    ROW_NUMBER() OVER (PARTITION BY vendor, cost_basis, dimension, usage_date ORDER BY amount_usd) AS peer_no,
    COUNT(*) OVER (PARTITION BY vendor, cost_basis, dimension, usage_date) AS peers
  FROM history_start
  WHERE amount_usd > 0 AND first_date <= DATE_SUB(usage_date, INTERVAL 7 DAY)
), peer_day AS (
  -- 90th percentile of all peers, and of all but the largest, which is compared with the others.
  SELECT
    vendor,
    cost_basis,
    dimension,
    usage_date,
    MIN(CASE WHEN peer_no * 10 >= peers * 9 THEN amount_usd END) AS peers_usd,
    MIN(CASE WHEN peer_no < peers AND peer_no * 10 >= (peers - 1) * 9 THEN amount_usd END) AS others_usd
  FROM peer
  GROUP BY vendor, cost_basis, dimension, usage_date
), candidate AS (
  -- Amounts below the floor need no baseline. The total of the vendor is the reference for the other dimensions.
  SELECT
    *,
    ROW_NUMBER() OVER (ORDER BY vendor, cost_basis, dimension, dimension_value, usage_date) AS candidate_no
  FROM history_start
  WHERE amount_usd >= 25 OR dimension = 'vendor'
), earlier_day AS (
  SELECT
    day.vendor,
    day.usage_date,
    earlier.usage_date AS earlier_date,
    MOD(DATE_DIFF(day.usage_date, earlier.usage_date, DAY), 7) = 0 AS is_same_weekday,
    -- Working days are compared with working days only, weekends with all days.
    COALESCE(earlier_kind.is_business_day OR NOT kind.is_business_day, TRUE) AS is_of_its_kind
  FROM (SELECT DISTINCT vendor, usage_date FROM history_start) AS day
  JOIN loaded_day AS earlier
    ON earlier.vendor = day.vendor
    AND earlier.usage_date >= DATE_SUB(day.usage_date, INTERVAL 56 DAY)
    AND earlier.usage_date < day.usage_date
  LEFT JOIN ai_usage.dim_date AS kind ON kind.usage_date = day.usage_date
  LEFT JOIN ai_usage.dim_date AS earlier_kind ON earlier_kind.usage_date = earlier.usage_date
), same_weekday AS (
  SELECT
    candidate.candidate_no,
    COALESCE(series.amount_usd, 0) AS amount_usd,
    ROW_NUMBER() OVER (PARTITION BY candidate.candidate_no ORDER BY COALESCE(series.amount_usd, 0)) AS sample_no,
    COUNT(*) OVER (PARTITION BY candidate.candidate_no) AS samples
  FROM candidate
  JOIN earlier_day
    ON earlier_day.vendor = candidate.vendor
    AND earlier_day.usage_date = candidate.usage_date
    AND earlier_day.is_same_weekday
    AND earlier_day.earlier_date >= candidate.first_date
  LEFT JOIN series
    ON series.vendor = candidate.vendor
    AND series.cost_basis = candidate.cost_basis
    AND series.dimension = candidate.dimension
    AND series.dimension_value = candidate.dimension_value
    AND series.usage_date = earlier_day.earlier_date
), weekday_median AS (
  SELECT
    candidate_no,
    MAX(samples) AS samples,
    CAST(ROUND((
      MIN(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN amount_usd END)
      + MAX(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN amount_usd END)
    ) * NUMERIC '0.5', 9) AS NUMERIC) AS median_usd
  FROM same_weekday
  GROUP BY candidate_no
), unusual_day AS (
  -- Drop days near their expected amount early.
  SELECT
    candidate.*,
    COALESCE(weekday_median.samples, 0) >= 4 AS has_weekdays,
    weekday_median.median_usd
  FROM candidate
  LEFT JOIN weekday_median ON weekday_median.candidate_no = candidate.candidate_no
  WHERE candidate.dimension = 'vendor'
    OR COALESCE(weekday_median.samples, 0) < 4
    OR (candidate.amount_usd >= weekday_median.median_usd + 25 AND candidate.amount_usd >= weekday_median.median_usd * 2)
), day_before AS (
  SELECT
    unusual_day.candidate_no,
    earlier_day.is_same_weekday,
    earlier_day.earlier_date,
    COALESCE(series.amount_usd, 0) AS amount_usd,
    COALESCE(series.amount_usd, 0) > 0 AND earlier_day.is_of_its_kind AS is_active
  FROM unusual_day
  JOIN earlier_day
    ON earlier_day.vendor = unusual_day.vendor
    AND earlier_day.usage_date = unusual_day.usage_date
    AND earlier_day.earlier_date >= unusual_day.first_date
  LEFT JOIN series
    ON series.vendor = unusual_day.vendor
    AND series.cost_basis = unusual_day.cost_basis
    AND series.dimension = unusual_day.dimension
    AND series.dimension_value = unusual_day.dimension_value
    AND series.usage_date = earlier_day.earlier_date
), ranked_history AS (
  SELECT
    candidate_no,
    is_active,
    amount_usd,
    ROW_NUMBER() OVER (PARTITION BY candidate_no ORDER BY amount_usd) AS sample_no,
    COUNT(*) OVER (PARTITION BY candidate_no) AS samples,
    ROW_NUMBER() OVER (PARTITION BY candidate_no, is_active ORDER BY amount_usd) AS active_no,
    COUNT(*) OVER (PARTITION BY candidate_no, is_active) AS actives
  FROM day_before
), history AS (
  SELECT
    candidate_no,
    MAX(samples) AS days_of_history,
    COUNTIF(is_active) AS active_days,
    CAST(ROUND((
      MIN(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN amount_usd END)
      + MAX(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN amount_usd END)
    ) * NUMERIC '0.5', 9) AS NUMERIC) AS median_usd,
    CAST(ROUND((
      MIN(CASE WHEN is_active AND active_no * 2 BETWEEN actives AND actives + 2 THEN amount_usd END)
      + MAX(CASE WHEN is_active AND active_no * 2 BETWEEN actives AND actives + 2 THEN amount_usd END)
    ) * NUMERIC '0.5', 9) AS NUMERIC) AS typical_usd
  FROM ranked_history
  GROUP BY candidate_no
), distance AS (
  SELECT
    candidate_no,
    distance_usd,
    ROW_NUMBER() OVER (PARTITION BY candidate_no ORDER BY distance_usd) AS sample_no,
    COUNT(*) OVER (PARTITION BY candidate_no) AS samples
  FROM (
    SELECT day_before.candidate_no, ABS(day_before.amount_usd - history.typical_usd) AS distance_usd
    FROM day_before
    JOIN history ON history.candidate_no = day_before.candidate_no
    WHERE day_before.is_active
  ) AS distances
), spread AS (
  SELECT
    candidate_no,
    CAST(ROUND((
      MIN(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN distance_usd END)
      + MAX(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN distance_usd END)
    ) * NUMERIC '0.5', 9) AS NUMERIC) AS mad_usd
  FROM distance
  GROUP BY candidate_no
), scored AS (
  SELECT
    unusual_day.vendor,
    unusual_day.cost_basis,
    unusual_day.dimension,
    unusual_day.dimension_value,
    unusual_day.usage_date,
    unusual_day.candidate_no,
    unusual_day.is_personal,
    unusual_day.amount_usd,
    unusual_day.is_provisional,
    COALESCE(history.days_of_history, 0) AS days_of_history,
    COALESCE(history.typical_usd, 0) AS typical_usd,
    COALESCE(
      CASE
        WHEN unusual_day.first_date <= DATE_SUB(unusual_day.usage_date, INTERVAL 7 DAY) THEN peer_day.others_usd
        ELSE peer_day.peers_usd
      END, 0
    ) AS peers_usd,
    CASE
      WHEN COALESCE(history.days_of_history, 0) < 7 OR history.active_days < 5 THEN 'peers'
      WHEN unusual_day.has_weekdays THEN 'same_weekday'
      ELSE 'all_days'
    END AS baseline,
    CASE
      WHEN COALESCE(history.days_of_history, 0) < 7 OR history.active_days < 5 THEN NULL
      WHEN unusual_day.has_weekdays THEN unusual_day.median_usd
      ELSE history.median_usd
    END AS median_of_own_usd,
    GREATEST(
      CAST(ROUND(COALESCE(spread.mad_usd, 0) * NUMERIC '1.4826', 9) AS NUMERIC),
      CAST(ROUND(COALESCE(history.typical_usd, 0) * NUMERIC '0.2', 9) AS NUMERIC),
      NUMERIC '2'
    ) AS spread_usd
  FROM unusual_day
  LEFT JOIN history ON history.candidate_no = unusual_day.candidate_no
  LEFT JOIN spread ON spread.candidate_no = unusual_day.candidate_no
  LEFT JOIN peer_day
    ON peer_day.vendor = unusual_day.vendor
    AND peer_day.cost_basis = unusual_day.cost_basis
    AND peer_day.dimension = unusual_day.dimension
    AND peer_day.usage_date = unusual_day.usage_date
), baselined AS (
  SELECT
    *,
    COALESCE(median_of_own_usd, peers_usd) AS expected_usd,
    GREATEST(COALESCE(median_of_own_usd, 0), typical_usd) AS usual_usd
  FROM scored
), spike AS (
  SELECT
    baselined.*,
    baselined.amount_usd - baselined.expected_usd AS excess_usd
  FROM baselined
  JOIN baselined AS vendor_day
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
), change AS (
  -- Cost per source and model on the day and on the days of the baseline.
  SELECT
    spike.candidate_no, faceted_cost.source, faceted_cost.person_email, faceted_cost.team, faceted_cost.api_key_id,
    faceted_cost.model,
    faceted_cost.amount_usd AS day_usd, NUMERIC '0' AS before_usd
  FROM spike
  JOIN faceted_cost
    ON faceted_cost.vendor = spike.vendor
    AND faceted_cost.cost_basis = spike.cost_basis
    AND faceted_cost.dimension = spike.dimension
    AND faceted_cost.dimension_value = spike.dimension_value
    AND faceted_cost.usage_date = spike.usage_date
  UNION ALL
  SELECT
    spike.candidate_no, faceted_cost.source, faceted_cost.person_email, faceted_cost.team, faceted_cost.api_key_id,
    faceted_cost.model, NUMERIC '0',
    faceted_cost.amount_usd
  FROM spike
  JOIN day_before
    ON day_before.candidate_no = spike.candidate_no
    AND (spike.baseline = 'all_days' OR (spike.baseline = 'same_weekday' AND day_before.is_same_weekday))
  JOIN faceted_cost
    ON faceted_cost.vendor = spike.vendor
    AND faceted_cost.cost_basis = spike.cost_basis
    AND faceted_cost.dimension = spike.dimension
    AND faceted_cost.dimension_value = spike.dimension_value
    AND faceted_cost.usage_date = day_before.earlier_date
), baseline_days AS (
  SELECT
    spike.candidate_no,
    COUNTIF(spike.baseline = 'all_days' OR (spike.baseline = 'same_weekday' AND day_before.is_same_weekday)) AS days
  FROM spike
  LEFT JOIN day_before ON day_before.candidate_no = spike.candidate_no
  GROUP BY spike.candidate_no
), part_of AS (
  SELECT 'source' AS part UNION ALL SELECT 'person' UNION ALL SELECT 'team' UNION ALL SELECT 'api_key'
  UNION ALL SELECT 'model'
), by_part AS (
  SELECT
    change.candidate_no,
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
  JOIN baseline_days ON baseline_days.candidate_no = change.candidate_no
  CROSS JOIN part_of
  GROUP BY
    change.candidate_no, part_of.part,
    CASE part_of.part
      WHEN 'source' THEN change.source
      WHEN 'person' THEN change.person_email
      WHEN 'team' THEN change.team
      WHEN 'api_key' THEN change.api_key_id
      ELSE change.model
    END
), shared AS (
  SELECT
    candidate_no,
    part,
    part_value,
    CAST(ROUND(CAST(SAFE_DIVIDE(
      more_usd, SUM(GREATEST(more_usd, 0)) OVER (PARTITION BY candidate_no, part)
    ) AS NUMERIC), 6) AS NUMERIC) AS share_of_excess,
    ROW_NUMBER() OVER (PARTITION BY candidate_no, part ORDER BY more_usd DESC, part_value NULLS LAST) AS part_no
  FROM by_part
), explained AS (
  SELECT
    candidate_no,
    MAX(CASE WHEN part = 'source' AND share_of_excess >= 0.5 THEN part_value END) AS source,
    MAX(CASE WHEN part = 'person' AND share_of_excess >= 0.5 THEN part_value END) AS person_email,
    MAX(CASE WHEN part = 'team' AND share_of_excess >= 0.5 THEN part_value END) AS team,
    MAX(CASE WHEN part = 'api_key' AND share_of_excess >= 0.5 THEN part_value END) AS api_key_id,
    MAX(CASE WHEN part = 'model' THEN part_value END) AS top_model,
    MAX(CASE WHEN part = 'model' THEN share_of_excess END) AS top_model_share_of_excess
  FROM shared
  WHERE part_no = 1
  GROUP BY candidate_no
), broad_spike AS (
  -- Anomalies of a team or model without one source that accounts for half of it.
  SELECT spike.vendor, spike.cost_basis, spike.usage_date, spike.dimension, spike.dimension_value
  FROM spike
  JOIN explained ON explained.candidate_no = spike.candidate_no
  WHERE explained.source IS NULL
), labeled AS (
  SELECT
    spike.*,
    explained.person_email,
    explained.team,
    explained.api_key_id,
    explained.top_model,
    explained.top_model_share_of_excess,
    -- Assign narrower rows to the broad anomaly that contains them.
    COALESCE(
      CONCAT('model ', of_model.dimension_value),
      CONCAT('team ', of_team.dimension_value),
      explained.source,
      CONCAT(spike.dimension, ' ', spike.dimension_value)
    ) AS main_source
  FROM spike
  JOIN explained ON explained.candidate_no = spike.candidate_no
  LEFT JOIN broad_spike AS of_model
    ON of_model.dimension = 'model'
    AND of_model.dimension_value = explained.top_model
    AND of_model.vendor = spike.vendor
    AND of_model.cost_basis = spike.cost_basis
    AND of_model.usage_date = spike.usage_date
  LEFT JOIN broad_spike AS of_team
    ON of_team.dimension = 'team'
    AND of_team.dimension_value = explained.team
    AND of_team.vendor = spike.vendor
    AND of_team.cost_basis = spike.cost_basis
    AND of_team.usage_date = spike.usage_date
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
