"""Nets, a file each."""
