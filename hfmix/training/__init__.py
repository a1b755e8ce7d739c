"""The parts of `hfmix.trainer.MixTrainer` that stand on their own, a file each."""
