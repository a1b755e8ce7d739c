"""The papers' toy experiments in two dimensions, small enough to run and change interactively."""
