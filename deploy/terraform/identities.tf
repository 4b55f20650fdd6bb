# Service accounts and their permissions. Two lists are elsewhere: access to the dataset is in warehouse.tf, and each job,
# schedule and VM names its own service account. No account can impersonate another or create tokens for one.

resource "google_service_account" "pipeline" {
  account_id   = "ai-usage-pipeline"
  display_name = "AI usage: the jobs"
  depends_on   = [google_project_service.api]
}

resource "google_service_account" "scheduler" {
  account_id   = "ai-usage-scheduler"
  display_name = "AI usage: starts the scheduled jobs"
  depends_on   = [google_project_service.api]
}

resource "google_service_account" "metabase" {
  account_id   = "ai-usage-metabase"
  display_name = "AI usage: the VM of Metabase"
  depends_on   = [google_project_service.api]
}

# Metabase can only use BigQuery with a service account key, the only key of this project. The account of that key has no
# other permissions.
resource "google_service_account" "reader" {
  account_id   = "ai-usage-reader"
  display_name = "AI usage: reads the dataset for Metabase"
  depends_on   = [google_project_service.api]
}

# A query is a job of the project.
resource "google_project_iam_member" "bigquery_job_user" {
  for_each = {
    pipeline = google_service_account.pipeline.member
    reader   = google_service_account.reader.member
  }

  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = each.value
}

# Logs and metrics of the VM.
resource "google_project_iam_member" "metabase_telemetry" {
  for_each = toset(["roles/logging.logWriter", "roles/monitoring.metricWriter"])

  project = var.project_id
  role    = each.key
  member  = google_service_account.metabase.member
}

resource "google_secret_manager_secret_iam_member" "pipeline" {
  for_each = google_secret_manager_secret.pipeline

  project   = var.project_id
  secret_id = each.value.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.pipeline.member
}

resource "google_secret_manager_secret_iam_member" "metabase" {
  for_each = google_secret_manager_secret.metabase

  project   = var.project_id
  secret_id = each.value.secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.metabase.member
}

# Cloud Run pulls the image of the jobs itself; only the VM needs this permission.
resource "google_artifact_registry_repository_iam_member" "metabase" {
  project    = var.project_id
  location   = google_artifact_registry_repository.docker_hub.location
  repository = google_artifact_registry_repository.docker_hub.repository_id
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.metabase.member
}

# On the job, not on the project, and without overrides: the scheduler cannot start a job with other arguments.
resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  for_each = local.schedules

  project  = var.project_id
  location = google_cloud_run_v2_job.this[each.key].location
  name     = google_cloud_run_v2_job.this[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler.member
}

resource "google_iap_tunnel_instance_iam_member" "metabase" {
  for_each = var.metabase_users

  project  = var.project_id
  zone     = google_compute_instance.metabase.zone
  instance = google_compute_instance.metabase.name
  role     = "roles/iap.tunnelResourceAccessor"
  member   = each.key

  condition {
    title      = "Metabase only, no shell"
    expression = "destination.port == 3000"
  }
}
