"""Logs of a run: plain lines and a progress bar for a terminal, JSON entries for Cloud Logging.

`run_events` selects and words what is logged; `terminal` and `json_logs` are its two formats; `run_logger` is the
logger that Dagster uses; `capture` and `dagster_process` turn all other output of a process into JSON entries.
"""
