CREATE OR REPLACE VIEW ai_usage.kpi_check_status (
  asset OPTIONS (description = "Asset that was checked."),
  check_name OPTIONS (description = "Name of the check."),
  passed OPTIONS (description = "Whether it held."),
  severity OPTIONS (description = "WARN or ERROR."),
  blocking OPTIONS (description = "Whether what is built from the asset waits until it holds."),
  amount_usd OPTIONS (description = "Dollars the finding touches, where it touches money."),
  message OPTIONS (description = "What is wrong, how much it touches, what to do."),
  first_day OPTIONS (description = "First UTC day the run looked at; NULL for a run that looked at all."),
  last_day OPTIONS (description = "Last UTC day the run looked at; NULL for a run that looked at all."),
  checked_at OPTIONS (description = "When it was checked."),
  run_id OPTIONS (description = "Dagster's id of the run."),
  as_of_date OPTIONS (description = "UTC day on which the warehouse was last brought up to date.")
)
OPTIONS (description = "What the checks say now: of every check the newest result, of the week up to the last check. A run that looked at other days takes nothing back: a backfill of October leaves yesterday's finding where it is, and a finding of its own is a row beside it. ops_check_results has all results.")
AS
WITH recent AS (
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
    run.first_day,
    run.last_day,
    -- A run that looked at all looked up to the day before.
    COALESCE(run.last_day, DATE_SUB(DATE(result.checked_at), INTERVAL 1 DAY)) AS reached_day
  FROM (
    SELECT
      asset, check_name, passed, severity, blocking, amount_usd, message, checked_at, run_id,
      MAX(checked_at) OVER () AS last_checked_at
    FROM ai_usage.ops_check_results
  ) AS result
  LEFT JOIN ai_usage.ops_runs AS run ON run.run_id = result.run_id
  -- A check that is no longer made is no longer told.
  WHERE DATE(result.checked_at) > DATE_SUB(DATE(result.last_checked_at), INTERVAL 7 DAY)
), outdone AS (
  SELECT DISTINCT older.asset, older.check_name, older.run_id
  FROM recent AS older
  JOIN recent AS newer
    ON newer.asset = older.asset
    AND newer.check_name = older.check_name
    AND newer.checked_at > older.checked_at
    AND (newer.first_day IS NULL OR older.reached_day BETWEEN newer.first_day AND newer.last_day)
)
SELECT
  recent.asset,
  recent.check_name,
  recent.passed,
  recent.severity,
  recent.blocking,
  recent.amount_usd,
  recent.message,
  recent.first_day,
  recent.last_day,
  recent.checked_at,
  recent.run_id,
  today.as_of_date
FROM recent
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM ai_usage.dim_date) AS today
LEFT JOIN outdone
  ON outdone.asset = recent.asset AND outdone.check_name = recent.check_name AND outdone.run_id = recent.run_id
WHERE outdone.run_id IS NULL
