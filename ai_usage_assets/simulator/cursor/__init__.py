"""The simulated Cursor Admin API."""
