"""The project's root, and the options of a training run that takes seconds."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
# a few steps on a few digits
QUICK = ["--max_steps", "6", "--max_train_samples", "96", "--max_test_samples", "60", "--save_strategy", "no"]
# a script that trains, and is killed once its first checkpoint is whole
DIE_AT_THE_FIRST_CHECKPOINT = """
import os, signal, sys
from hfmix.training import trainer
from hfmix.train import main
save = trainer.MixTrainer._save_checkpoint
def save_and_die(*arguments):
    save(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
trainer.MixTrainer._save_checkpoint = save_and_die
main(sys.argv[1:])
"""
