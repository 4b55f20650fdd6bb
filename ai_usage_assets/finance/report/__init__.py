"""The monthly report as one HTML page: spend, budgets, teams and people, and whether the figures are complete."""
