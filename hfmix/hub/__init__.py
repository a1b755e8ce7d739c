"""Publishing runs, loading them back, and verifying their cards."""
