"""The mapping sheet."""
