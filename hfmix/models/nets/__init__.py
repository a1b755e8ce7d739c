"""The nets, one file per family."""
