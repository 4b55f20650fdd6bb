"""Templates and charts."""
