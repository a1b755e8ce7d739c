"""Speed measured beside peers, and the papers' experiments with their results."""
