"""The commands of `hfmix`, a file each: its options, and what it runs. Heavy imports wait until then."""
