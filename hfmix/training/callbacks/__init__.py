"""The Trainer's callbacks, a file each."""
