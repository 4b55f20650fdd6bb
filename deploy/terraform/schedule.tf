# 06:00 in Los Angeles is after 06:00 UTC, when the figures of the previous UTC day are available, and outside the hour that
# daylight saving time skips or repeats.

locals {
  # Job -> its schedule.
  schedules = {
    daily = {
      name        = "ai-usage-daily"
      cron        = "0 6 * * *"
      description = "06:00: loads, builds and checks the days that the vendors can still restate"
    }
    standby = {
      name        = "ai-usage-standby"
      cron        = "45 6 * * *"
      description = "06:45, in another region: the same, unless the first job succeeded"
    }
    freshness = {
      name        = "ai-usage-freshness"
      cron        = "0 8 * * *"
      description = "08:00: fails unless the run log has a successful run"
    }
  }
}

resource "google_cloud_scheduler_job" "this" {
  for_each = local.schedules

  name        = each.value.name
  description = each.value.description
  # In the region of its job: the standby must not depend on the first region.
  region           = google_cloud_run_v2_job.this[each.key].location
  schedule         = each.value.cron
  time_zone        = "America/Los_Angeles"
  attempt_deadline = "320s"
  depends_on       = [google_project_service.api]

  # Retries of the start only. The scheduler does not learn how the run ends.
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

    # Google APIs accept OAuth tokens; OIDC tokens are for Cloud Run services.
    oauth_token {
      service_account_email = google_service_account.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }
}
