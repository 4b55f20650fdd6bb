"""The warehouse: DuckDB or BigQuery."""
