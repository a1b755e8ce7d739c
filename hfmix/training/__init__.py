"""MixTrainer, and the parts of it that stand on their own, one file each."""
