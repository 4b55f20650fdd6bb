CREATE TABLE IF NOT EXISTS ai_usage.int_anomaly_score_daily (
  usage_date DATE NOT NULL OPTIONS (description = "UTC day."),
  vendor STRING NOT NULL OPTIONS (description = "Vendor."),
  cost_basis STRING NOT NULL OPTIONS (description = "billed or included."),
  dimension STRING NOT NULL OPTIONS (description = "api_key, robot, person, team, model or vendor."),
  dimension_value STRING NOT NULL OPTIONS (description = "Value of the dimension."),
  candidate_id STRING NOT NULL OPTIONS (description = "Key of the row: vendor, cost basis, dimension, day and value."),
  is_personal BOOL NOT NULL OPTIONS (description = "Whether all of the cost is of persons."),
  first_date DATE NOT NULL OPTIONS (description = "First day of the series."),
  amount_usd NUMERIC NOT NULL OPTIONS (description = "US dollars of the day."),
  expected_usd NUMERIC NOT NULL OPTIONS (description = "US dollars that the baseline expects."),
  usual_usd NUMERIC NOT NULL OPTIONS (description = "The larger of the median and the typical active day."),
  peers_usd NUMERIC NOT NULL OPTIONS (description = "90th percentile of the peers on the day."),
  spread_usd NUMERIC NOT NULL OPTIONS (description = "Spread of the earlier active days, at least 2 dollars and a fifth of a typical day."),
  baseline STRING NOT NULL OPTIONS (description = "same_weekday, all_days or peers."),
  days_of_history INT64 NOT NULL OPTIONS (description = "Number of earlier loaded days since the series began."),
  is_provisional BOOL NOT NULL OPTIONS (description = "Whether the vendor can still restate the day.")
)
PARTITION BY usage_date
CLUSTER BY vendor, cost_basis, dimension
OPTIONS (description = "Third stage of anomaly detection: each day that may be unusual, with what was expected. Days of a vendor are always included, as the reference of the others.")
AS
WITH loaded_day AS (
  SELECT DISTINCT entry.vendor, entry.usage_date
  FROM ai_usage.ops_asset_days AS entry
  JOIN ai_usage.dim_vendor AS vendor ON vendor.bill_asset = entry.asset
  WHERE entry.completed_at IS NOT NULL
), peer AS (
  SELECT
    vendor,
    cost_basis,
    dimension,
    usage_date,
    amount_usd,
    ROW_NUMBER() OVER (PARTITION BY vendor, cost_basis, dimension, usage_date ORDER BY amount_usd) AS peer_no,
    COUNT(*) OVER (PARTITION BY vendor, cost_basis, dimension, usage_date) AS peers
  FROM ai_usage.int_anomaly_series_daily
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
    CONCAT(vendor, '|', cost_basis, '|', dimension, '|', CAST(usage_date AS STRING), '|', dimension_value) AS candidate_id
  FROM ai_usage.int_anomaly_series_daily
  WHERE amount_usd >= 25 OR dimension = 'vendor'
), earlier_day AS (
  SELECT
    day.vendor,
    day.usage_date,
    earlier.usage_date AS earlier_date,
    MOD(DATE_DIFF(day.usage_date, earlier.usage_date, DAY), 7) = 0 AS is_same_weekday,
    -- Working days are compared with working days only, weekends with all days.
    COALESCE(earlier_kind.is_business_day OR NOT kind.is_business_day, TRUE) AS is_of_its_kind
  FROM (SELECT DISTINCT vendor, usage_date FROM ai_usage.int_anomaly_series_daily) AS day
  JOIN loaded_day AS earlier
    ON earlier.vendor = day.vendor
    AND earlier.usage_date >= DATE_SUB(day.usage_date, INTERVAL 56 DAY)
    AND earlier.usage_date < day.usage_date
  LEFT JOIN ai_usage.dim_date AS kind ON kind.usage_date = day.usage_date
  LEFT JOIN ai_usage.dim_date AS earlier_kind ON earlier_kind.usage_date = earlier.usage_date
), same_weekday AS (
  SELECT
    candidate.candidate_id,
    COALESCE(series.amount_usd, 0) AS amount_usd,
    ROW_NUMBER() OVER (PARTITION BY candidate.candidate_id ORDER BY COALESCE(series.amount_usd, 0)) AS sample_no,
    COUNT(*) OVER (PARTITION BY candidate.candidate_id) AS samples
  FROM candidate
  JOIN earlier_day
    ON earlier_day.vendor = candidate.vendor
    AND earlier_day.usage_date = candidate.usage_date
    AND earlier_day.is_same_weekday
    AND earlier_day.earlier_date >= candidate.first_date
  LEFT JOIN ai_usage.int_anomaly_series_daily AS series
    ON series.vendor = candidate.vendor
    AND series.cost_basis = candidate.cost_basis
    AND series.dimension = candidate.dimension
    AND series.dimension_value = candidate.dimension_value
    AND series.usage_date = earlier_day.earlier_date
), weekday_median AS (
  SELECT
    candidate_id,
    MAX(samples) AS samples,
    CAST(ROUND((
      MIN(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN amount_usd END)
      + MAX(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN amount_usd END)
    ) * NUMERIC '0.5', 9) AS NUMERIC) AS median_usd
  FROM same_weekday
  GROUP BY candidate_id
), unusual_day AS (
  -- Drop days near their expected amount early.
  SELECT
    candidate.*,
    COALESCE(weekday_median.samples, 0) >= 4 AS has_weekdays,
    weekday_median.median_usd
  FROM candidate
  LEFT JOIN weekday_median ON weekday_median.candidate_id = candidate.candidate_id
  WHERE candidate.dimension = 'vendor'
    OR COALESCE(weekday_median.samples, 0) < 4
    OR (candidate.amount_usd >= weekday_median.median_usd + 25 AND candidate.amount_usd >= weekday_median.median_usd * 2)
), day_before AS (
  SELECT
    unusual_day.candidate_id,
    earlier_day.is_same_weekday,
    earlier_day.earlier_date,
    COALESCE(series.amount_usd, 0) AS amount_usd,
    COALESCE(series.amount_usd, 0) > 0 AND earlier_day.is_of_its_kind AS is_active
  FROM unusual_day
  JOIN earlier_day
    ON earlier_day.vendor = unusual_day.vendor
    AND earlier_day.usage_date = unusual_day.usage_date
    AND earlier_day.earlier_date >= unusual_day.first_date
  LEFT JOIN ai_usage.int_anomaly_series_daily AS series
    ON series.vendor = unusual_day.vendor
    AND series.cost_basis = unusual_day.cost_basis
    AND series.dimension = unusual_day.dimension
    AND series.dimension_value = unusual_day.dimension_value
    AND series.usage_date = earlier_day.earlier_date
), ranked_history AS (
  SELECT
    candidate_id,
    is_active,
    amount_usd,
    ROW_NUMBER() OVER (PARTITION BY candidate_id ORDER BY amount_usd) AS sample_no,
    COUNT(*) OVER (PARTITION BY candidate_id) AS samples,
    ROW_NUMBER() OVER (PARTITION BY candidate_id, is_active ORDER BY amount_usd) AS active_no,
    COUNT(*) OVER (PARTITION BY candidate_id, is_active) AS actives
  FROM day_before
), history AS (
  SELECT
    candidate_id,
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
  GROUP BY candidate_id
), distance AS (
  SELECT
    candidate_id,
    distance_usd,
    ROW_NUMBER() OVER (PARTITION BY candidate_id ORDER BY distance_usd) AS sample_no,
    COUNT(*) OVER (PARTITION BY candidate_id) AS samples
  FROM (
    SELECT day_before.candidate_id, ABS(day_before.amount_usd - history.typical_usd) AS distance_usd
    FROM day_before
    JOIN history ON history.candidate_id = day_before.candidate_id
    WHERE day_before.is_active
  ) AS distances
), spread AS (
  SELECT
    candidate_id,
    CAST(ROUND((
      MIN(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN distance_usd END)
      + MAX(CASE WHEN sample_no * 2 BETWEEN samples AND samples + 2 THEN distance_usd END)
    ) * NUMERIC '0.5', 9) AS NUMERIC) AS mad_usd
  FROM distance
  GROUP BY candidate_id
), scored AS (
  SELECT
    unusual_day.vendor,
    unusual_day.cost_basis,
    unusual_day.dimension,
    unusual_day.dimension_value,
    unusual_day.usage_date,
    unusual_day.candidate_id,
    unusual_day.is_personal,
    unusual_day.amount_usd,
    unusual_day.is_provisional,
    unusual_day.first_date,
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
  LEFT JOIN history ON history.candidate_id = unusual_day.candidate_id
  LEFT JOIN spread ON spread.candidate_id = unusual_day.candidate_id
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
)
SELECT
  usage_date, vendor, cost_basis, dimension, dimension_value, candidate_id, is_personal, first_date, amount_usd,
  expected_usd, usual_usd, peers_usd, spread_usd, baseline, days_of_history, is_provisional
FROM baselined
