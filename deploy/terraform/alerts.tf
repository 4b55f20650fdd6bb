# What is told by mail, and only what asks for somebody. Each says what it means and what to do. Cloud Monitoring takes
# a PromQL or a log condition alone in its policy.

resource "google_monitoring_notification_channel" "email" {
  display_name = "AI usage"
  type         = "email"
  labels       = { email_address = var.alert_email }
  depends_on   = [google_project_service.api]
}

locals {
  completed = "resource.type = \"cloud_run_job\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""

  logs_of = "https://console.cloud.google.com/run/jobs?project=${var.project_id}"
  readme  = "deploy/README.md says how to read a failed check, to run again and to go back."
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
      A run of $${resource.labels.job_name} in $${resource.labels.location} failed, twice: a vendor did not deliver, money
      would be wrong, or the warehouse could not be used. What was held before stays. If it was the one of 06:00 in
      ${var.region}, the standby in ${var.standby_region} tries again at 06:45; if that one succeeds there is nothing to do.

      The last lines of its log say why: ${local.logs_of}. ${local.readme}
    EOT
  }
}

# The first of two ways: what Cloud Run counts.
resource "google_monitoring_alert_policy" "stale" {
  display_name          = "AI usage: no success in 26 hours"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "No execution succeeded in 26 hours, in any region"
    # A condition on the absence of a metric ends at 23.5 hours.
    condition_prometheus_query_language {
      query               = "absent_over_time(run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\",job_name=\"ai-usage-daily\",result=\"succeeded\"}[26h])"
      duration            = "0s"
      evaluation_interval = "600s"
      # There is no such metric before the first run.
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Neither the daily job nor its standby has succeeded in 26 hours. The figures are those of the last success. Before
      the first run ever this is expected.

      See whether they were started and how they ended: ${local.logs_of}. When the cause is gone:
      `gcloud run jobs execute ai-usage-daily --region=${var.region} --project=${var.project_id} --wait`. ${local.readme}
    EOT
  }
}

# The second: what the warehouse's own record of runs holds.
resource "google_monitoring_alert_policy" "stale_record" {
  display_name          = "AI usage: no success in the record of runs"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "The check of 08:00 failed"
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
      At 08:00 `ops_runs` held no good run that had brought the UTC day before, or could not be read. The log of ai-usage-freshness says
      which: ${local.logs_of}. When the cause is gone:
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
      Cloud Scheduler was refused when it started a job: the job or the right of the scheduler's account on it is gone, or
      Cloud Run was not there for a moment. It tries three times more. If an execution followed
      (${local.logs_of}), there is nothing to do; else `terraform plan` says what is missing.
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
    display_name = "A line of ERROR or worse"
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
      A part of a run failed: a vendor, a day, or a check with the dollars it concerns. If "a run failed" came too, it is
      the same story; if not, a second attempt made it good, and this is only to know.

      In Logs Explorer: `resource.type="cloud_run_job" AND resource.labels.job_name="ai-usage-daily" AND severity>=ERROR`.
      ${local.readme}
    EOT
  }
}

resource "google_monitoring_alert_policy" "secret_read" {
  display_name          = "AI usage: a secret was read by somebody else"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = local.labels

  conditions {
    display_name = "A secret was read, and not by its program"
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
      Somebody other than the jobs and Metabase read a secret of this project, or tried to. If nobody of yours did, rotate
      the key (deploy/README.md, "Rotate a key"). Who, which and when is in the entry's `protoPayload`.
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
