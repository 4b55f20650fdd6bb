# Settings that must not change by accident. `terraform test` needs no project.

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
    error_message = "The dataset ai_usage must be in the multi-region US: a compliance requirement."
  }

  assert {
    condition     = google_bigquery_dataset.ai_usage.delete_contents_on_destroy == false && google_bigquery_dataset.ai_usage.default_table_expiration_ms == null
    error_message = "Nothing may delete the data."
  }

  assert {
    condition = { for key, job in google_cloud_scheduler_job.this : key => [job.region, job.schedule, job.time_zone] } == {
      daily     = ["us-central1", "0 6 * * *", "America/Los_Angeles"]
      standby   = ["us-east4", "45 6 * * *", "America/Los_Angeles"]
      freshness = ["us-central1", "0 8 * * *", "America/Los_Angeles"]
    }
    error_message = "The schedules are 06:00, 06:45 in the standby region and 08:00, Los Angeles time."
  }

  assert {
    condition = { for key, job in google_cloud_scheduler_job.this : key => job.http_target[0].uri } == {
      daily     = "https://run.googleapis.com/v2/projects/test-project/locations/us-central1/jobs/ai-usage-daily:run"
      standby   = "https://run.googleapis.com/v2/projects/test-project/locations/us-east4/jobs/ai-usage-daily:run"
      freshness = "https://run.googleapis.com/v2/projects/test-project/locations/us-central1/jobs/ai-usage-freshness:run"
    }
    error_message = "Each schedule starts its own job in its own region."
  }

  assert {
    condition = alltrue([
      for job in values(google_cloud_scheduler_job.this) :
      length(job.http_target[0].oauth_token) == 1 && length(job.http_target[0].oidc_token) == 0
      && job.http_target[0].http_method == "POST" && job.paused != true
    ])
    error_message = "Google APIs need an OAuth token; an OIDC token is rejected."
  }

  assert {
    condition = { for key, job in google_cloud_run_v2_job.this : key => [job.location, job.name, join(" ", job.template[0].template[0].containers[0].args)] } == {
      daily     = ["us-central1", "ai-usage-daily", "run"]
      standby   = ["us-east4", "ai-usage-daily", "run --if-missing"]
      backfill  = ["us-central1", "ai-usage-backfill", "backfill"]
      freshness = ["us-central1", "ai-usage-freshness", "freshness --hours 14"]
    }
    error_message = "There are four jobs; the standby is the daily job in another region with --if-missing."
  }

  assert {
    condition = alltrue([
      for job in values(google_cloud_run_v2_job.this) :
      job.template[0].task_count == 1 && job.template[0].parallelism == 1 && job.template[0].template[0].max_retries == 1
    ])
    error_message = "One task at a time and one retry: more would multiply the requests to the vendors."
  }

  assert {
    condition = { for key, job in google_cloud_run_v2_job.this : key => job.template[0].template[0].timeout } == {
      daily     = "3600s"
      standby   = "3600s"
      backfill  = "86400s"
      freshness = "300s"
    }
    error_message = "Timeouts: one hour for the daily job, one day for a backfill task, five minutes for the freshness check. Cloud Run's default of 10 minutes is too short."
  }

  assert {
    condition = alltrue([
      for job in values(google_cloud_run_v2_job.this) :
      contains(["1Gi", "2Gi", "4Gi"], job.template[0].template[0].containers[0].resources[0].limits.memory)
      && job.template[0].template[0].containers[0].resources[0].limits.cpu == "1"
    ])
    error_message = "A run peaks at 530 MB and its files count as memory: at least 1 GiB, and at most 4 GiB with one CPU."
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
    error_message = "The environment of the jobs has names of secrets, not values, and the image."
  }

  assert {
    condition = strcontains(
      google_monitoring_alert_policy.stale.conditions[0].condition_prometheus_query_language[0].query,
      "job_name=\"ai-usage-daily\",result=\"succeeded\"}[26h])",
    )
    error_message = "26 hours without a success of the daily job in any region must raise an alert."
  }

  assert {
    condition     = google_compute_instance.metabase.metadata.enable-oslogin == "TRUE" && google_compute_instance.metabase.deletion_protection
    error_message = "The VM uses OS Login and is protected from deletion."
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
    error_message = "The jobs of the first region connect to PostgreSQL on the VM; the standby does not."
  }

  assert {
    condition = alltrue([
      for key, job in google_cloud_run_v2_job.this :
      join(" ", [for variable in job.template[0].template[0].containers[0].env : variable.value_source[0].secret_key_ref[0].secret if length(variable.value_source) > 0])
      == (contains(["daily", "backfill"], key) ? "dagster-postgres-url" : "")
    ])
    error_message = "The PostgreSQL address contains a password: it comes from Secret Manager, only in the jobs that need it."
  }

  assert {
    condition     = strcontains(google_compute_instance.metabase.metadata.user-data, "-p 5432:5432")
    error_message = "PostgreSQL on the VM must publish its port."
  }

  assert {
    condition     = google_billing_budget.monthly[0].budget_filter[0].projects == toset(["projects/123456789012"])
    error_message = "The budget must be limited to this project."
  }

  assert {
    condition     = length(google_compute_router_nat.internet) == 1
    error_message = "The option metabase_internet must create a Cloud NAT."
  }
}

run "one_vendor" {
  variables {
    vendors = ["anthropic"]
  }

  assert {
    condition     = keys(google_secret_manager_secret.pipeline) == ["anthropic-admin-key"]
    error_message = "A vendor that is not in `vendors` has no secret."
  }

  assert {
    condition = !contains(
      [for variable in google_cloud_run_v2_job.this["daily"].template[0].template[0].containers[0].env : variable.name],
      "CURSOR_ADMIN_KEY",
    )
    error_message = "A vendor that is not in `vendors` has no variable."
  }
}
