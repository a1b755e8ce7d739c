"""The Trainer's callbacks, one file each."""
