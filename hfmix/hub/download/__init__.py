"""Download of runs from the Hub, every file checked."""
