locals {
  # The standby carries the first one's name: a success in either region is a success of the job.
  jobs = {
    daily = {
      name = "ai-usage-daily", region = var.region
      args = ["run"], timeout_seconds = var.daily_timeout_seconds
    }
    standby = {
      name = "ai-usage-daily", region = var.standby_region
      args = ["run", "--if-missing"], timeout_seconds = var.daily_timeout_seconds
    }
    # Started by hand, with --from and --to. Its timeout is for each task, and a task for a block of days.
    backfill = {
      name = "ai-usage-backfill", region = var.region
      args = ["backfill"], timeout_seconds = 86400
    }
    # At 08:00, which is 15:00 or 16:00 UTC, the UTC day before must be there.
    freshness = {
      name = "ai-usage-freshness", region = var.region
      args = ["freshness", "--hours", "14"], timeout_seconds = 300
    }
  }

  # Which jobs share a history of runs; the VM's network is the first region's.
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
    # Names, which the program resolves: so the version that was used is in the run's record.
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
    # One after another: what limits a backfill is the vendors' patience, not Cloud Run's.
    parallelism = 1
    labels      = local.labels

    template {
      service_account       = google_service_account.pipeline.email
      execution_environment = "EXECUTION_ENVIRONMENT_GEN2"
      # What a vendor refuses is tried again inside a run; this is for a crash.
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

        # Dagster's own configuration reads it, and resolves no names.
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
