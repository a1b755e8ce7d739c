"""Bringing runs from the Hub, every file checked."""
