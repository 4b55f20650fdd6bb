"""Every Dagster object: assets, asset checks, resources, the run recorder and the schedule."""
