# What a person who changes the configuration should not change by accident. `terraform test` needs no project.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id     = "test-project"
  alert_email    = "oncall@example.com"
  image          = "us-docker.pkg.dev/test-project/ai-usage/ai-usage@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  sheet_id       = "sheet-of-the-test"
  metabase_users = ["group:finance@example.com"]
}

run "as_it_comes" {
  assert {
    condition     = google_bigquery_dataset.ai_usage.location == "US" && google_bigquery_dataset.ai_usage.dataset_id == "ai_usage"
    error_message = "The figures are kept in the dataset ai_usage in the multi-region US: a compliance requirement."
  }

  assert {
    condition     = google_bigquery_dataset.ai_usage.delete_contents_on_destroy == false && google_bigquery_dataset.ai_usage.default_table_expiration_ms == null
    error_message = "Nothing deletes the figures."
  }

  assert {
    condition = { for key, job in google_cloud_scheduler_job.this : key => [job.region, job.schedule, job.time_zone] } == {
      daily     = ["us-central1", "0 6 * * *", "America/Los_Angeles"]
      standby   = ["us-east4", "45 6 * * *", "America/Los_Angeles"]
      freshness = ["us-central1", "0 8 * * *", "America/Los_Angeles"]
    }
    error_message = "06:00, 06:45 from the standby region and 08:00, as the clock is in Los Angeles."
  }

  assert {
    condition = { for key, job in google_cloud_scheduler_job.this : key => job.http_target[0].uri } == {
      daily     = "https://run.googleapis.com/v2/projects/test-project/locations/us-central1/jobs/ai-usage-daily:run"
      standby   = "https://run.googleapis.com/v2/projects/test-project/locations/us-east4/jobs/ai-usage-daily:run"
      freshness = "https://run.googleapis.com/v2/projects/test-project/locations/us-central1/jobs/ai-usage-freshness:run"
    }
    error_message = "A schedule starts its own job, in its own region."
  }

  assert {
    condition = alltrue([
      for job in values(google_cloud_scheduler_job.this) :
      length(job.http_target[0].oauth_token) == 1 && length(job.http_target[0].oidc_token) == 0
      && job.http_target[0].http_method == "POST" && job.paused != true
    ])
    error_message = "An API of Google takes an OAuth token; an OIDC token is refused every morning."
  }

  assert {
    condition = { for key, job in google_cloud_run_v2_job.this : key => [job.location, job.name, join(" ", job.template[0].template[0].containers[0].args)] } == {
      daily     = ["us-central1", "ai-usage-daily", "run"]
      standby   = ["us-east4", "ai-usage-daily", "run --if-missing"]
      backfill  = ["us-central1", "ai-usage-backfill", "backfill"]
      freshness = ["us-central1", "ai-usage-freshness", "freshness --hours 14"]
    }
    error_message = "Four jobs; the standby is the daily one, in another region, and only if missing."
  }

  assert {
    condition = alltrue([
      for job in values(google_cloud_run_v2_job.this) :
      job.template[0].task_count == 1 && job.template[0].parallelism == 1 && job.template[0].template[0].max_retries == 1
    ])
    error_message = "One task at a time, and one retry: more would multiply what the vendors are asked."
  }

  assert {
    condition = { for key, job in google_cloud_run_v2_job.this : key => job.template[0].template[0].timeout } == {
      daily     = "3600s"
      standby   = "3600s"
      backfill  = "86400s"
      freshness = "300s"
    }
    error_message = "An hour for a day, a day for a block of a backfill, five minutes for a question. Cloud Run's own 10 minutes are too few."
  }

  assert {
    condition = alltrue([
      for job in values(google_cloud_run_v2_job.this) :
      contains(["1Gi", "2Gi", "4Gi"], job.template[0].template[0].containers[0].resources[0].limits.memory)
      && job.template[0].template[0].containers[0].resources[0].limits.cpu == "1"
    ])
    error_message = "A run peaks at 530 MB and its files count: no less than 1 GiB; one processor takes no more than 4."
  }

  assert {
    condition = alltrue([
      for job in values(google_cloud_run_v2_job.this) :
      { for variable in job.template[0].template[0].containers[0].env : variable.name => variable.value } == {
        AI_USAGE_WAREHOUSE   = "bigquery"
        GOOGLE_CLOUD_PROJECT = "test-project"
        AI_USAGE_DATASET     = "ai_usage"
        AI_USAGE_START_DATE  = "2026-01-01"
        AI_USAGE_SHEET_ID    = "sheet-of-the-test"
        AI_USAGE_IMAGE       = var.image
        AI_USAGE_LOGS        = "json"
        ANTHROPIC_ADMIN_KEY  = "projects/test-project/secrets/anthropic-admin-key/versions/latest"
        CURSOR_ADMIN_KEY     = "projects/test-project/secrets/cursor-admin-key/versions/latest"
      }
    ])
    error_message = "The jobs are told names of secrets, not values, and which image they are."
  }

  assert {
    condition = strcontains(
      google_monitoring_alert_policy.stale.conditions[0].condition_prometheus_query_language[0].query,
      "job_name=\"ai-usage-daily\",result=\"succeeded\"}[26h])",
    )
    error_message = "26 hours without a success of the daily job, in any region, are told."
  }

  assert {
    condition     = google_compute_instance.metabase.metadata.enable-oslogin == "TRUE" && google_compute_instance.metabase.deletion_protection
    error_message = "The VM is entered by people with an account, and not deleted by accident."
  }
}

run "with_every_option" {
  variables {
    dagster_postgres  = true
    metabase_internet = true
    billing_account   = "012345-6789AB-CDEF01"
    raw_expiry_days   = 400
    memory_gib        = 4
  }

  assert {
    condition = { for key, job in google_cloud_run_v2_job.this : key => length(job.template[0].template[0].vpc_access) } == {
      daily = 1, standby = 0, backfill = 1, freshness = 0
    }
    error_message = "The jobs of the first region reach the VM's PostgreSQL; the standby needs nothing of it."
  }

  assert {
    condition = alltrue([
      for key, job in google_cloud_run_v2_job.this :
      join(" ", [for variable in job.template[0].template[0].containers[0].env : variable.value_source[0].secret_key_ref[0].secret if length(variable.value_source) > 0])
      == (contains(["daily", "backfill"], key) ? "dagster-postgres-url" : "")
    ])
    error_message = "The address of PostgreSQL holds a password: it comes from Secret Manager, where it is needed."
  }

  assert {
    condition     = strcontains(google_compute_instance.metabase.metadata.user-data, "-p 5432:5432")
    error_message = "PostgreSQL on the VM answers the network."
  }

  assert {
    condition     = google_billing_budget.monthly[0].budget_filter[0].projects == toset(["projects/123456789012"])
    error_message = "The budget is of this project."
  }

  assert {
    condition     = length(google_compute_router_nat.internet) == 1
    error_message = "Metabase reaches the internet when it is asked for."
  }
}

run "one_vendor" {
  variables {
    vendors = ["anthropic"]
  }

  assert {
    condition     = keys(google_secret_manager_secret.pipeline) == ["anthropic-admin-key"]
    error_message = "A vendor there is no key for has no secret."
  }

  assert {
    condition = !contains(
      [for variable in google_cloud_run_v2_job.this["daily"].template[0].template[0].containers[0].env : variable.name],
      "CURSOR_ADMIN_KEY",
    )
    error_message = "A vendor there is no key for is not asked."
  }
}
