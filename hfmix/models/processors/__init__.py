"""Processors that make a model's inputs of sound and of tables."""
