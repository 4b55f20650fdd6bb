# Metabase and its PostgreSQL on one small VM. The dashboards are in ../metabase.

locals {
  zone = "${var.region}-a"
}

# All data that must survive the VM.
resource "google_compute_disk" "metabase" {
  name       = "ai-usage-metabase-data"
  type       = "pd-balanced"
  zone       = local.zone
  size       = 20
  labels     = local.labels
  depends_on = [google_project_service.api]
  # `terraform destroy` stops here.
  deletion_policy = "PREVENT"
}

# One hour after the nightly dump at 09:00 UTC.
resource "google_compute_resource_policy" "nightly" {
  name       = "ai-usage-nightly"
  region     = var.region
  depends_on = [google_project_service.api]

  snapshot_schedule_policy {
    schedule {
      daily_schedule {
        days_in_cycle = 1
        start_time    = "10:00"
      }
    }
    retention_policy {
      max_retention_days    = 14
      on_source_disk_delete = "KEEP_AUTO_SNAPSHOTS"
    }
    snapshot_properties {
      labels            = local.labels
      storage_locations = ["us"]
    }
  }
}

resource "google_compute_disk_resource_policy_attachment" "metabase" {
  name = google_compute_resource_policy.nightly.name
  disk = google_compute_disk.metabase.name
  zone = google_compute_disk.metabase.zone
}

data "google_compute_image" "cos" {
  family  = "cos-stable"
  project = "cos-cloud"
}

resource "google_compute_instance" "metabase" {
  name                      = "ai-usage-metabase"
  machine_type              = "e2-medium"
  zone                      = local.zone
  tags                      = ["metabase"]
  labels                    = local.labels
  allow_stopping_for_update = true
  deletion_protection       = true

  boot_disk {
    initialize_params {
      image = data.google_compute_image.cos.self_link
      size  = 20
      type  = "pd-balanced"
    }
  }

  attached_disk {
    source      = google_compute_disk.metabase.id
    device_name = "metabase-data"
  }

  # No access_config: no public address.
  network_interface {
    subnetwork = google_compute_subnetwork.metabase.id
    network_ip = cidrhost(google_compute_subnetwork.metabase.ip_cidr_range, 2)
  }

  service_account {
    email  = google_service_account.metabase.email
    scopes = ["cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    enable-oslogin            = "TRUE"
    block-project-ssh-keys    = "TRUE"
    google-logging-enabled    = "true"
    google-monitoring-enabled = "true"
    user-data = templatefile("${path.module}/metabase/cloud-init.yaml", {
      project        = var.project_id
      settings       = file("${path.module}/metabase/settings.env")
      secrets        = join(" ", sort(keys(google_secret_manager_secret.metabase)))
      registry       = split("/", local.docker_hub)[0]
      postgres_image = "${local.docker_hub}/library/postgres:16.10"
      metabase_image = "${local.docker_hub}/metabase/metabase:v0.63.17"
      postgres_ports = var.dagster_postgres ? "-p 5432:5432" : ""
    })
  }

  lifecycle {
    # A newer COS image is not applied automatically: deploy/README.md describes how to recreate the VM.
    ignore_changes = [boot_disk[0].initialize_params[0].image]
  }
}
