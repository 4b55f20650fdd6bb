"""The simulated Anthropic organization APIs."""
