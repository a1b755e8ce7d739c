"""Augmentation: random changes to training examples."""
