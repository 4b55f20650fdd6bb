# Secrets without values. Values are added by hand, so that Terraform's state never contains one; see ../README.md.

locals {
  # Environment variable of the jobs -> its secret.
  vendor_secrets = {
    for variable, vendor in { ANTHROPIC_ADMIN_KEY = "anthropic", CURSOR_ADMIN_KEY = "cursor" } :
    variable => "${vendor}-admin-key" if contains(var.vendors, vendor)
  }
  dagster_secret = "dagster-postgres-url"
}

resource "google_secret_manager_secret" "pipeline" {
  for_each = toset(concat(values(local.vendor_secrets), var.dagster_postgres ? [local.dagster_secret] : []))

  secret_id = each.key
  labels    = local.labels
  # A destroyed version can be restored for one week.
  version_destroy_ttl = "604800s"
  deletion_protection = true
  depends_on          = [google_project_service.api]

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret" "metabase" {
  for_each = toset(["metabase-db-password", "metabase-encryption-key"])

  secret_id           = each.key
  labels              = local.labels
  version_destroy_ttl = "604800s"
  deletion_protection = true
  depends_on          = [google_project_service.api]

  replication {
    auto {}
  }
}

# Secrets of `ai-usage metabase apply`. The VM has no access to them.
resource "google_secret_manager_secret" "dashboards" {
  for_each = toset(["metabase-api-key", "metabase-bigquery-key"])

  secret_id           = each.key
  labels              = local.labels
  version_destroy_ttl = "604800s"
  deletion_protection = true
  depends_on          = [google_project_service.api]

  replication {
    auto {}
  }
}

# Logs every read of a secret with account and time.
resource "google_project_iam_audit_config" "secrets" {
  project    = var.project_id
  service    = "secretmanager.googleapis.com"
  depends_on = [google_project_service.api]

  audit_log_config {
    log_type = "ADMIN_READ"
  }
  audit_log_config {
    log_type = "DATA_READ"
  }
  audit_log_config {
    log_type = "DATA_WRITE"
  }
}

resource "google_logging_project_bucket_config" "default" {
  project        = var.project_id
  location       = "global"
  bucket_id      = "_Default"
  retention_days = 90
  depends_on     = [google_project_service.api]
}
