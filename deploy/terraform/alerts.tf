# Alerts that need a person. Each e-mail states what happened and what to do. Cloud Monitoring accepts a PromQL or log
# condition only as the single condition of its policy.

resource "google_monitoring_notification_channel" "email" {
  display_name = "AI usage"
  type         = "email"
  labels       = { email_address = var.alert_email }
  depends_on   = [google_project_service.api]
}

locals {
  completed = "resource.type = \"cloud_run_job\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""

  logs_of = "https://console.cloud.google.com/run/jobs?project=${var.project_id}"
  readme  = "deploy/README.md describes how to read a failed check, run again and roll back."
}

resource "google_monitoring_alert_policy" "failed" {
  display_name          = "AI usage: a run failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "An execution failed"
    condition_threshold {
      filter          = "${local.completed} AND resource.labels.job_name = one_of(\"ai-usage-daily\", \"ai-usage-backfill\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.labels.job_name", "resource.labels.location"]
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      A run of $${resource.labels.job_name} in $${resource.labels.location} failed twice: a vendor did not deliver, a
      blocking check failed, or the warehouse could not be used. The data from before the run stays. If it was the run of
      06:00 in ${var.region}, the standby in ${var.standby_region} runs at 06:45; if that one succeeds, there is nothing to do.

      The last lines of the log give the reason: ${local.logs_of}. ${local.readme}
    EOT
  }
}

# The first of two independent checks: Cloud Run's own metric.
resource "google_monitoring_alert_policy" "stale" {
  display_name          = "AI usage: no success in 26 hours"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "No execution succeeded in 26 hours, in any region"
    # A metric-absence condition supports at most 23.5 hours.
    condition_prometheus_query_language {
      query               = "absent_over_time(run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\",job_name=\"ai-usage-daily\",result=\"succeeded\"}[26h])"
      duration            = "0s"
      evaluation_interval = "600s"
      # The metric does not exist before the first run.
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Neither the daily job nor its standby has succeeded in 26 hours. The figures are those of the last successful run.
      Before the first run this is expected.

      Check whether the jobs were started and how they ended: ${local.logs_of}. When the cause is fixed:
      `gcloud run jobs execute ai-usage-daily --region=${var.region} --project=${var.project_id} --wait`. ${local.readme}
    EOT
  }
}

# The second: the run log in the warehouse.
resource "google_monitoring_alert_policy" "stale_record" {
  display_name          = "AI usage: no success in the run log"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "The freshness check of 08:00 failed"
    condition_threshold {
      filter          = "${local.completed} AND resource.labels.job_name = \"ai-usage-freshness\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_SUM"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.labels.job_name"]
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      At 08:00, `ops_runs` had no successful run that loaded the previous UTC day, or the warehouse could not be read. The
      log of ai-usage-freshness shows which: ${local.logs_of}. When the cause is fixed:
      `gcloud run jobs execute ai-usage-daily --region=${var.region} --project=${var.project_id} --wait`. ${local.readme}
    EOT
  }
}

resource "google_monitoring_alert_policy" "not_started" {
  display_name          = "AI usage: the scheduler could not start a job"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "An attempt to start a job failed"
    condition_matched_log {
      filter = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=~\"^ai-usage-\" AND severity>=ERROR"
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "21600s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Cloud Scheduler could not start a job: the job or the permission of the scheduler's account is missing, or Cloud Run
      was briefly unavailable. The scheduler retries three times. If an execution followed (${local.logs_of}), there is
      nothing to do. Otherwise, `terraform plan` shows what is missing.
    EOT
  }
}

resource "google_monitoring_alert_policy" "error_logged" {
  display_name          = "AI usage: a run logged an error"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "A log entry of severity ERROR or higher"
    condition_matched_log {
      filter = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"ai-usage-daily\" AND severity>=ERROR"
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "21600s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      A part of a run failed: a vendor, a day, or a check with the dollars it affects. If "a run failed" arrived too, both
      have the same cause. If not, a second attempt succeeded, and this e-mail is for information.

      In Logs Explorer: `resource.type="cloud_run_job" AND resource.labels.job_name="ai-usage-daily" AND severity>=ERROR`.
      ${local.readme}
    EOT
  }
}

resource "google_monitoring_alert_policy" "secret_read" {
  display_name          = "AI usage: a secret was read by another account"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "A secret was read by an account other than the jobs and Metabase"
    condition_matched_log {
      filter = "protoPayload.serviceName=\"secretmanager.googleapis.com\" AND protoPayload.methodName:\"AccessSecretVersion\" AND NOT protoPayload.authenticationInfo.principalEmail=(\"${google_service_account.pipeline.email}\" OR \"${google_service_account.metabase.email}\")"
    }
  }

  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "21600s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      An account other than those of the jobs and Metabase read a secret of this project, or tried to. If you do not recognize
      the read, rotate the key (deploy/README.md, "Rotate a key"). The entry's `protoPayload` has the account, secret and time.
    EOT
  }
}

resource "google_billing_budget" "monthly" {
  count = var.billing_account == null ? 0 : 1

  billing_account = var.billing_account
  display_name    = "AI usage"
  depends_on      = [google_project_service.api]

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      currency_code = "USD"
      units         = tostring(var.budget_usd)
    }
  }

  threshold_rules {
    threshold_percent = 1.0
  }
  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = [google_monitoring_notification_channel.email.id]
  }
}
