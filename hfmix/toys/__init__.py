"""The papers' toy experiments in two dimensions, small enough to run and to change while one looks at them."""
