# A network for the VM only. Nothing in it has a public address.

resource "google_compute_network" "this" {
  name                    = "ai-usage"
  auto_create_subnetworks = false
  depends_on              = [google_project_service.api]
}

resource "google_compute_subnetwork" "metabase" {
  name          = "ai-usage-metabase"
  region        = var.region
  network       = google_compute_network.this.id
  ip_cidr_range = "10.20.0.0/28"
  # Access to BigQuery, Secret Manager and the registry.
  private_ip_google_access = true
}

# The address range of Identity-Aware Proxy, which admits the users that IAM allows.
resource "google_compute_firewall" "iap" {
  name          = "ai-usage-iap-to-metabase"
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = ["35.235.240.0/20"]
  target_tags   = ["metabase"]

  allow {
    protocol = "tcp"
    ports    = ["22", "3000"]
  }
}

resource "google_compute_router" "internet" {
  count = var.metabase_internet ? 1 : 0

  name    = "ai-usage"
  region  = var.region
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "internet" {
  count = var.metabase_internet ? 1 : 0

  name                               = "ai-usage-metabase"
  router                             = google_compute_router.internet[0].name
  region                             = var.region
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.metabase.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
}

# The subnetwork of the jobs when they connect to PostgreSQL on the VM.
resource "google_compute_subnetwork" "jobs" {
  count = var.dagster_postgres ? 1 : 0

  name                     = "ai-usage-jobs"
  region                   = var.region
  network                  = google_compute_network.this.id
  ip_cidr_range            = "10.20.1.0/26"
  private_ip_google_access = true
}

resource "google_compute_firewall" "jobs" {
  count = var.dagster_postgres ? 1 : 0

  name          = "ai-usage-jobs-to-postgres"
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = [google_compute_subnetwork.jobs[0].ip_cidr_range]
  target_tags   = ["metabase"]

  allow {
    protocol = "tcp"
    ports    = ["5432"]
  }
}
