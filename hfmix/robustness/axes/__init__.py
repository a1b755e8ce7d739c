"""The axes of a report, measured: a file each."""
