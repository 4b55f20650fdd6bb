# Finance's morning. 06:00 there is after 06:00 UTC, when a UTC day's figures are in, and never in the hour that the
# change to summer time skips or repeats.

locals {
  # Job -> when it is started.
  schedules = {
    daily = {
      name        = "ai-usage-daily"
      cron        = "0 6 * * *"
      description = "06:00: pull, land, build and check what the vendors may still restate"
    }
    standby = {
      name        = "ai-usage-standby"
      cron        = "45 6 * * *"
      description = "06:45, from another region: the same, unless it has succeeded"
    }
    freshness = {
      name        = "ai-usage-freshness"
      cron        = "0 8 * * *"
      description = "08:00: fails unless the record of runs has a success"
    }
  }
}

resource "google_cloud_scheduler_job" "this" {
  for_each = local.schedules

  name        = each.value.name
  description = each.value.description
  # Beside its job: the standby must not wait for the first region.
  region           = google_cloud_run_v2_job.this[each.key].location
  schedule         = each.value.cron
  time_zone        = "America/Los_Angeles"
  attempt_deadline = "320s"
  depends_on       = [google_project_service.api]

  # Of the start only. How the run ends, the scheduler never learns.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
    max_backoff_duration = "300s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${google_cloud_run_v2_job.this[each.key].location}/jobs/${google_cloud_run_v2_job.this[each.key].name}:run"
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    # An API of Google takes an OAuth token; OIDC is for one's own services.
    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }
}
