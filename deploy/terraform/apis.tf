locals {
  apis = concat(
    [
      "artifactregistry", "bigquery", "cloudresourcemanager", "cloudscheduler", "compute", "iam", "iap", "logging",
      "monitoring", "run", "secretmanager", "sheets",
    ],
    var.billing_account == null ? [] : ["billingbudgets"],
  )
}

resource "google_project_service" "api" {
  for_each = toset(local.apis)

  service = "${each.key}.googleapis.com"
  # Other resources of the project may need it.
  disable_on_destroy = false
}
