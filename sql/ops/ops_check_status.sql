CREATE OR REPLACE VIEW ai_usage.ops_check_status (
  asset OPTIONS (description = "Asset that was checked."),
  check_name OPTIONS (description = "Name of the check."),
  passed OPTIONS (description = "Whether the check passed."),
  severity OPTIONS (description = "WARN or ERROR."),
  blocking OPTIONS (description = "Whether a failure stops the assets downstream."),
  amount_usd OPTIONS (description = "US dollars that the finding affects; NULL when it affects no cost."),
  message OPTIONS (description = "What is wrong, how much it affects, and what to do."),
  first_day OPTIONS (description = "First UTC day that was checked; NULL when all days were checked."),
  last_day OPTIONS (description = "Last UTC day that was checked; NULL when all days were checked."),
  checked_at OPTIONS (description = "Time of the check."),
  run_id OPTIONS (description = "Dagster's id of the run."),
  as_of_date OPTIONS (description = "UTC day of the last run.")
)
OPTIONS (description = "Current results of the checks: the latest result of each check, and earlier failures for days that no later run has checked. A backfill of October does not clear a failure of yesterday, and a run of yesterday alone does not clear a failure of 40 days, unless the check reads current data only. Passed results are listed for a week, failures for a month. ops_check_results has all results.")
AS
WITH result AS (
  SELECT
    result.asset,
    result.check_name,
    result.passed,
    result.severity,
    result.blocking,
    result.amount_usd,
    result.message,
    result.checked_at,
    result.run_id,
    COALESCE(result.scope, 'days') AS scope,
    run.first_day,
    run.last_day,
    run.run_id IS NOT NULL AS is_known,
    today.as_of_date,
    ROW_NUMBER() OVER (
      PARTITION BY result.asset, result.check_name ORDER BY result.checked_at DESC, result.run_id DESC
    ) AS recency
  FROM ai_usage.ops_check_results AS result
  CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
  LEFT JOIN ai_usage.ops_runs AS run ON run.run_id = result.run_id
  WHERE DATE(result.checked_at) > DATE_SUB(today.as_of_date, INTERVAL 31 DAY)
), superseded AS (
  -- A newer result supersedes an older one when the check reads current data, when the newer run has all days or these
  -- days, or when its days are the same window moved by some days, as in the next daily run.
  SELECT DISTINCT older.asset, older.check_name, older.run_id
  FROM result AS older
  JOIN result AS newer
    ON newer.asset = older.asset AND newer.check_name = older.check_name AND newer.checked_at > older.checked_at
  WHERE NOT older.passed AND (
    newer.scope = 'now'
    OR (newer.is_known AND newer.first_day IS NULL)
    OR (newer.scope = 'until' AND newer.last_day >= older.last_day)
    OR (
      newer.first_day <= older.last_day AND newer.last_day >= older.last_day
      AND DATE_DIFF(newer.first_day, older.first_day, DAY) <= DATE_DIFF(newer.last_day, older.last_day, DAY)
    )
  )
)
SELECT
  result.asset,
  result.check_name,
  result.passed,
  result.severity,
  result.blocking,
  result.amount_usd,
  result.message,
  CASE WHEN result.scope <> 'now' THEN result.first_day END AS first_day,
  CASE WHEN result.scope <> 'now' THEN result.last_day END AS last_day,
  result.checked_at,
  result.run_id,
  result.as_of_date
FROM result
LEFT JOIN superseded
  ON superseded.asset = result.asset AND superseded.check_name = result.check_name AND superseded.run_id = result.run_id
WHERE CASE
  WHEN result.passed THEN result.recency = 1 AND DATE(result.checked_at) > DATE_SUB(result.as_of_date, INTERVAL 7 DAY)
  ELSE result.recency = 1 OR superseded.run_id IS NULL
END
