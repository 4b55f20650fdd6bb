# The dataset. The jobs create its tables and views.

resource "google_bigquery_dataset" "ai_usage" {
  dataset_id                 = "ai_usage"
  location                   = var.dataset_location
  description                = "Usage and cost of AI tools: raw records, facts, dimensions and finance views"
  labels                     = local.labels
  max_time_travel_hours      = "168"
  storage_billing_model      = "LOGICAL"
  delete_contents_on_destroy = false
  depends_on                 = [google_project_service.api]

  # The complete access list: it omits BigQuery's default access for all viewers and editors of the project. WRITER and
  # READER are the API's names of roles/bigquery.dataEditor and dataViewer.
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
