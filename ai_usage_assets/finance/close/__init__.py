"""Month close: freeze the journal of a final month, verify it, and export it."""
