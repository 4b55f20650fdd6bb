# The dataset. Its tables and views are made by the jobs, from the same schemas as in DuckDB.

resource "google_bigquery_dataset" "ai_usage" {
  dataset_id                 = "ai_usage"
  location                   = var.dataset_location
  description                = "Usage and cost of AI tools, from the vendors to finance's views"
  labels                     = local.labels
  max_time_travel_hours      = "168"
  storage_billing_model      = "LOGICAL"
  delete_contents_on_destroy = false
  depends_on                 = [google_project_service.api]

  # The whole list: what BigQuery gives by default to all who may read or edit the project is not on it. WRITER and
  # READER are what the API makes of roles/bigquery.dataEditor and dataViewer.
  access {
    role          = "OWNER"
    special_group = "projectOwners"
  }
  access {
    role          = "WRITER"
    user_by_email = google_service_account.pipeline.email
  }
  access {
    role          = "READER"
    user_by_email = google_service_account.reader.email
  }
}
