"""Helpers for all of hfmix, of which they import nothing."""
