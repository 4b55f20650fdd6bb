variable "project_id" {
  description = "The Google Cloud project that everything lives in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens; its number or name will not do."
  }
}

variable "image" {
  description = "The image of the jobs, by digest: what runs is what was tried, and going back is exact."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by its digest: us-docker.pkg.dev/PROJECT/ai-usage/ai-usage@sha256:..."
  }
}

variable "alert_email" {
  description = "Who is told when a run fails. A mailing list is better than a person."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+[.][^@ ]+$", var.alert_email))
    error_message = "This is not an e-mail address."
  }
}

variable "sheet_id" {
  description = "The mapping spreadsheet: the part of its address between /d/ and /edit. Empty for none."
  type        = string
  default     = ""
}

variable "vendors" {
  description = "The vendors there is a key for."
  type        = set(string)
  default     = ["anthropic", "cursor"]

  validation {
    condition     = length(var.vendors) > 0 && length(setsubtract(var.vendors, ["anthropic", "cursor"])) == 0
    error_message = "Vendors are anthropic, cursor, or both."
  }
}

variable "start_date" {
  description = "The first UTC day there should be figures for."
  type        = string
  default     = "2026-01-01"

  validation {
    condition     = can(regex("^20[0-9]{2}-[0-9]{2}-[0-9]{2}$", var.start_date))
    error_message = "A day is written as 2026-01-31."
  }
}

variable "raw_expiry_days" {
  description = "Days after which raw records are forgotten; null keeps them for ever."
  type        = number
  default     = null

  validation {
    condition     = var.raw_expiry_days == null ? true : var.raw_expiry_days >= 60
    error_message = "Vendors restate days for up to 60 days: keep raw records at least that long."
  }
}

variable "region" {
  description = "Where the daily job runs, and Metabase."
  type        = string
  default     = "us-central1"

  validation {
    condition     = startswith(var.region, "us-")
    error_message = "The figures stay in the United States: choose a region of the US."
  }
}

variable "standby_region" {
  description = "Where the standby copy of the daily job runs."
  type        = string
  default     = "us-east4"

  validation {
    condition     = startswith(var.standby_region, "us-") && var.standby_region != var.region
    error_message = "The standby needs a region of the US that is not the first one."
  }
}

variable "dataset_location" {
  description = "Where BigQuery keeps the figures. A compliance requirement, not a choice."
  type        = string
  default     = "US"

  validation {
    condition     = var.dataset_location == "US"
    error_message = "The dataset is kept in the multi-region US, and nowhere else."
  }
}

variable "daily_timeout_seconds" {
  description = "How long one attempt of the daily job may take."
  type        = number
  default     = 3600

  validation {
    condition     = var.daily_timeout_seconds >= 900 && var.daily_timeout_seconds <= 21600
    error_message = "Between a quarter of an hour and six hours: 900 to 21600."
  }
}

variable "memory_gib" {
  description = "Memory of a job. A run peaks at 530 MB, and its files count as memory."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2, 4], var.memory_gib)
    error_message = "1, 2 or 4 GiB; one processor has no more."
  }
}

variable "metabase_users" {
  description = "Who may open a tunnel to Metabase, such as [\"group:finance@example.com\"]."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.metabase_users : can(regex("^(user|group):[^@ ]+@[^@ ]+$", member))])
    error_message = "Name people as user:... or group:...; never the public."
  }
}

variable "metabase_internet" {
  description = "Whether Metabase may reach the internet (to send mail); costs a Cloud NAT."
  type        = bool
  default     = false
}

variable "dagster_postgres" {
  description = "Whether the jobs of the first region keep Dagster's history of runs in a PostgreSQL; see ../README.md."
  type        = bool
  default     = false
}

variable "billing_account" {
  description = "The billing account, such as 012345-6789AB-CDEF01, to have a budget; null for none."
  type        = string
  default     = null
}

variable "budget_usd" {
  description = "What the platform may cost a month before the budget tells."
  type        = number
  default     = 60
}
