# In the multi-region, so that the standby region does not depend on the first region.
resource "google_artifact_registry_repository" "images" {
  location      = "us"
  repository_id = "ai-usage"
  description   = "Images of the jobs"
  format        = "DOCKER"
  labels        = local.labels
  depends_on    = [google_project_service.api]

  docker_config {
    immutable_tags = true
  }

  cleanup_policies {
    id     = "keep-the-last"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "drop-the-old"
    action = "DELETE"
    condition {
      older_than = "7776000s"
    }
  }
}

# The VM has no internet access and pulls its images through this repository.
resource "google_artifact_registry_repository" "docker_hub" {
  location      = "us"
  repository_id = "docker-hub"
  description   = "Docker Hub images for the Metabase VM"
  format        = "DOCKER"
  mode          = "REMOTE_REPOSITORY"
  labels        = local.labels
  depends_on    = [google_project_service.api]

  remote_repository_config {
    docker_repository {
      public_repository = "DOCKER_HUB"
    }
  }
}

locals {
  docker_hub = "us-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.docker_hub.repository_id}"
}
