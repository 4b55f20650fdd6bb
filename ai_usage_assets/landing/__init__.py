"""Loads extracted records and sheet tabs into the raw tables, and decides whether new data may replace loaded data."""
