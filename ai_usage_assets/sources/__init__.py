"""What is extracted: one folder per source."""
