variable "project_id" {
  description = "The Google Cloud project of all resources."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens. The project's number or name is not accepted."
  }
}

variable "image" {
  description = "The image of the jobs by digest, so that deployments and rollbacks are exact."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "The image needs a digest: us-docker.pkg.dev/PROJECT/ai-usage/ai-usage@sha256:..."
  }
}

variable "alert_email" {
  description = "E-mail address for alerts. Prefer a mailing list to a person."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+[.][^@ ]+$", var.alert_email))
    error_message = "This is not an e-mail address."
  }
}

variable "sheet_id" {
  description = "Id of the mapping spreadsheet: the part of its address between /d/ and /edit. Empty for none."
  type        = string
  default     = ""
}

variable "vendors" {
  description = "The vendors that have a key."
  type        = set(string)
  default     = ["anthropic", "cursor"]

  validation {
    condition     = length(var.vendors) > 0 && length(setsubtract(var.vendors, ["anthropic", "cursor"])) == 0
    error_message = "The vendors are anthropic, cursor, or both."
  }
}

variable "start_date" {
  description = "The first UTC day of the warehouse."
  type        = string
  default     = "2026-01-01"

  validation {
    condition     = can(regex("^20[0-9]{2}-[0-9]{2}-[0-9]{2}$", var.start_date))
    error_message = "The format of a day is 2026-01-31."
  }
}

variable "raw_expiry_days" {
  description = "Days after which BigQuery deletes raw records; null keeps them."
  type        = number
  default     = null

  validation {
    condition     = var.raw_expiry_days == null ? true : var.raw_expiry_days >= 60
    error_message = "Vendors restate days for up to 60 days; keep raw records at least that long."
  }
}

variable "region" {
  description = "Region of the daily job and Metabase."
  type        = string
  default     = "us-central1"

  validation {
    condition     = startswith(var.region, "us-")
    error_message = "The data stays in the United States; choose a US region."
  }
}

variable "standby_region" {
  description = "Region of the standby copy of the daily job."
  type        = string
  default     = "us-east4"

  validation {
    condition     = startswith(var.standby_region, "us-") && var.standby_region != var.region
    error_message = "The standby needs a US region other than `region`."
  }
}

variable "dataset_location" {
  description = "Location of the BigQuery dataset; a compliance requirement."
  type        = string
  default     = "US"

  validation {
    condition     = var.dataset_location == "US"
    error_message = "The dataset must be in the multi-region US."
  }
}

variable "daily_timeout_seconds" {
  description = "Timeout of one attempt of the daily job."
  type        = number
  default     = 3600

  validation {
    condition     = var.daily_timeout_seconds >= 900 && var.daily_timeout_seconds <= 21600
    error_message = "The timeout is between 15 minutes and 6 hours: 900 to 21600."
  }
}

variable "memory_gib" {
  description = "Memory of a job. A run peaks at 530 MB, and its files count as memory."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2, 4], var.memory_gib)
    error_message = "The memory is 1, 2 or 4 GiB; one CPU allows no more."
  }
}

variable "metabase_users" {
  description = "Users and groups that can open a tunnel to Metabase, such as [\"group:finance@example.com\"]."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.metabase_users : can(regex("^(user|group):[^@ ]+@[^@ ]+$", member))])
    error_message = "Each entry is user:... or group:...; public access is not accepted."
  }
}

variable "metabase_internet" {
  description = "Internet access for Metabase (to send e-mail); adds the cost of a Cloud NAT."
  type        = bool
  default     = false
}

variable "dagster_postgres" {
  description = "Stores Dagster's run history of the first region's jobs in PostgreSQL; see ../README.md."
  type        = bool
  default     = false
}

variable "billing_account" {
  description = "The billing account for a budget, such as 012345-6789AB-CDEF01; null for none."
  type        = string
  default     = null
}

variable "budget_usd" {
  description = "Monthly cost of the platform in USD at which the budget sends an e-mail."
  type        = number
  default     = 60
}
