terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.0"
    }
  }

  # The bucket is named at `terraform init`, see ../README.md.
  backend "gcs" {
    prefix = "ai-usage"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region

  # Budgets are asked for in the name of a project.
  user_project_override = true
  billing_project       = var.project_id
}

data "google_project" "this" {}

locals {
  labels = { app = "ai-usage" }
}
