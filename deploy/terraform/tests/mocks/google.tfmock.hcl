# Mock values of the Google provider that the configuration uses.

override_resource {
  target = google_service_account.pipeline
  values = {
    email  = "ai-usage-pipeline@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:ai-usage-pipeline@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.scheduler
  values = {
    email  = "ai-usage-scheduler@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:ai-usage-scheduler@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.metabase
  values = {
    email  = "ai-usage-metabase@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:ai-usage-metabase@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.reader
  values = {
    email  = "ai-usage-reader@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:ai-usage-reader@test-project.iam.gserviceaccount.com"
  }
}

mock_data "google_project" {
  defaults = {
    number = "123456789012"
  }
}
