output "pipeline_service_account" {
  description = "Share the mapping spreadsheet with this address as a viewer."
  value       = google_service_account.pipeline.email
}

output "dataset" {
  description = "The BigQuery dataset."
  value       = "${var.project_id}.${google_bigquery_dataset.ai_usage.dataset_id}"
}

output "image" {
  description = "The image that the jobs run; note it before you deploy another one."
  value       = var.image
}

output "metabase_tunnel" {
  description = "Opens a tunnel to Metabase on http://localhost:3000."
  value       = "gcloud compute start-iap-tunnel ${google_compute_instance.metabase.name} 3000 --local-host-port=localhost:3000 --zone=${google_compute_instance.metabase.zone} --project=${var.project_id}"
}
