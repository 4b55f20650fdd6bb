"""What a run says while it works: to a person at a terminal, or to Cloud Logging.

`story` knows what is worth a line, `terminal` how a person sees it, `cloud` how Cloud Logging does; `run` is the logger
that Dagster is given, and `process` Dagster's command line with nothing but JSON on its outputs.
"""
