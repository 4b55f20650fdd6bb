"""Templates, charts, and the format of numbers and dates."""
