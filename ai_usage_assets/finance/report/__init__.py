"""One page that a person opens: what is spent on AI tools, against what, by whom, and whether the figures are whole."""
