locals {
  # The standby has the same name: a success in either region is a success of the job.
  jobs = {
    daily = {
      name = "ai-usage-daily", region = var.region
      args = ["run"], timeout_seconds = var.daily_timeout_seconds
    }
    standby = {
      name = "ai-usage-daily", region = var.standby_region
      args = ["run", "--if-missing"], timeout_seconds = var.daily_timeout_seconds
    }
    # Started by hand with --from and --to. The timeout applies to each task; each task loads a block of days.
    backfill = {
      name = "ai-usage-backfill", region = var.region
      args = ["backfill"], timeout_seconds = 86400
    }
    # At 08:00, which is 15:00 or 16:00 UTC, the previous UTC day must be loaded.
    freshness = {
      name = "ai-usage-freshness", region = var.region
      args = ["freshness", "--hours", "14"], timeout_seconds = 300
    }
  }

  # Jobs that share a run history. The VM's network is in the first region.
  with_postgres = var.dagster_postgres ? ["daily", "backfill"] : []

  environment = merge(
    {
      AI_USAGE_WAREHOUSE   = "bigquery"
      GOOGLE_CLOUD_PROJECT = var.project_id
      AI_USAGE_DATASET     = google_bigquery_dataset.ai_usage.dataset_id
      AI_USAGE_START_DATE  = var.start_date
      AI_USAGE_SHEET_ID    = var.sheet_id
      AI_USAGE_IMAGE       = var.image
      AI_USAGE_LOGS        = "json"
    },
    var.raw_expiry_days == null ? {} : { AI_USAGE_RAW_EXPIRY_DAYS = tostring(var.raw_expiry_days) },
    # Secret names, not values: the program resolves them and records the version in ops_runs.
    {
      for variable, secret in local.vendor_secrets :
      variable => "projects/${var.project_id}/secrets/${google_secret_manager_secret.pipeline[secret].secret_id}/versions/latest"
    },
  )
}

resource "google_cloud_run_v2_job" "this" {
  for_each = local.jobs

  name                = each.value.name
  location            = each.value.region
  labels              = local.labels
  deletion_protection = false
  depends_on          = [google_project_service.api, google_secret_manager_secret_iam_member.pipeline]

  template {
    task_count = 1
    # One task at a time: the vendors' rate limits are the bottleneck, not Cloud Run.
    parallelism = 1
    labels      = local.labels

    template {
      service_account       = google_service_account.pipeline.email
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      # A run retries vendor errors itself; this retry is for crashes.
      max_retries = 1
      timeout     = "${each.value.timeout_seconds}s"

      containers {
        name  = "ai-usage"
        image = var.image
        args  = each.value.args

        resources {
          limits = {
            cpu    = "1"
            memory = "${var.memory_gib}Gi"
          }
        }

        dynamic "env" {
          for_each = local.environment
          content {
            name  = env.key
            value = env.value
          }
        }

        # Dagster's configuration reads this variable and does not resolve secret names.
        dynamic "env" {
          for_each = contains(local.with_postgres, each.key) ? [local.dagster_secret] : []
          content {
            name = "DAGSTER_PG_URL"
            value_source {
              secret_key_ref {
                secret  = google_secret_manager_secret.pipeline[env.value].secret_id
                version = "latest"
              }
            }
          }
        }
      }

      dynamic "vpc_access" {
        for_each = contains(local.with_postgres, each.key) ? google_compute_subnetwork.jobs : []
        content {
          egress = "PRIVATE_RANGES_ONLY"
          network_interfaces {
            network    = google_compute_network.this.id
            subnetwork = vpc_access.value.id
          }
        }
      }
    }
  }
}
