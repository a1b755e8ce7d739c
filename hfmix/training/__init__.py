"""MixTrainer, and its parts that stand on their own, a file each."""
