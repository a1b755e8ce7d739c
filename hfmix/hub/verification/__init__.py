"""Measuring again what a card claims."""
