"""Every Dagster object."""
