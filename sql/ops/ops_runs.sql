CREATE TABLE IF NOT EXISTS ai_usage.ops_runs (
  run_id STRING NOT NULL OPTIONS (description = "Dagster's id of the run."),
  job STRING NOT NULL OPTIONS (description = "Name of the job."),
  started_at TIMESTAMP NOT NULL OPTIONS (description = "Start of the run."),
  finished_at TIMESTAMP OPTIONS (description = "End of the run; NULL while it runs, or if it was killed."),
  first_day DATE OPTIONS (description = "First UTC day of the run."),
  last_day DATE OPTIONS (description = "Last UTC day of the run."),
  outcome STRING NOT NULL OPTIONS (description = "running, success, failed or interrupted (stopped from outside; the next run sets it for a killed run)."),
  version STRING NOT NULL OPTIONS (description = "Version of this project."),
  execution STRING OPTIONS (description = "Execution of the Cloud Run job; this and the next three columns are NULL elsewhere."),
  task_index INT64 OPTIONS (description = "Number of the task within the execution, from 0."),
  task_count INT64 OPTIONS (description = "Number of tasks of the execution."),
  attempt INT64 OPTIONS (description = "Number of earlier attempts of the task."),
  image STRING OPTIONS (description = "Container image; NULL outside a container."),
  secret_versions STRING OPTIONS (description = "JSON object: name of each secret read from Secret Manager -> its version. NULL for none."),
  days INT64 OPTIONS (description = "Number of UTC days of the run."),
  seconds NUMERIC OPTIONS (description = "Duration of the run."),
  landed_records INT64 OPTIONS (description = "Records of the raw days that the run replaced; days with unchanged content do not count."),
  landed_bytes INT64 OPTIONS (description = "Bytes of these records, as the vendors sent them."),
  landed_usd NUMERIC OPTIONS (description = "Billed and included dollars in these records.")
)
OPTIONS (description = "One row per run of a job.")
