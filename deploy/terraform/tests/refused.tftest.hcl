# Variables that validation rejects before a plan.

mock_provider "google" {
  source = "./tests/mocks"
}

variables {
  project_id  = "test-project"
  alert_email = "oncall@example.com"
  image       = "us-docker.pkg.dev/test-project/ai-usage/ai-usage@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
}

run "dataset_outside_the_us" {
  command = plan
  variables {
    dataset_location = "EU"
  }
  expect_failures = [var.dataset_location]
}

run "dataset_in_a_single_region" {
  command = plan
  variables {
    dataset_location = "us-central1"
  }
  expect_failures = [var.dataset_location]
}

run "jobs_outside_the_us" {
  command = plan
  variables {
    region = "europe-west1"
  }
  expect_failures = [var.region]
}

run "standby_outside_the_us" {
  command = plan
  variables {
    standby_region = "europe-west1"
  }
  expect_failures = [var.standby_region]
}

run "standby_in_the_first_region" {
  command = plan
  variables {
    standby_region = "us-central1"
  }
  expect_failures = [var.standby_region]
}

run "image_by_tag" {
  command = plan
  variables {
    image = "us-docker.pkg.dev/test-project/ai-usage/ai-usage:latest"
  }
  expect_failures = [var.image]
}

run "values_below_minimum" {
  command = plan
  variables {
    memory_gib            = 0.5
    daily_timeout_seconds = 600
    raw_expiry_days       = 30
  }
  expect_failures = [var.memory_gib, var.daily_timeout_seconds, var.raw_expiry_days]
}

run "public_metabase_users" {
  command = plan
  variables {
    metabase_users = ["allAuthenticatedUsers"]
  }
  expect_failures = [var.metabase_users]
}

run "unknown_vendor" {
  command = plan
  variables {
    vendors = ["anthropic", "openai"]
  }
  expect_failures = [var.vendors]
}
