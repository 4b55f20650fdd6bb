terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
  }

  # `terraform init` sets the bucket, see ../README.md.
  backend "gcs" {
    prefix = "ai-usage"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # The budgets API needs a quota project.
  user_project_override = true
  billing_project       = var.project_id
}

data "google_project" "this" {}

locals {
  labels = { app = "ai-usage" }
}
