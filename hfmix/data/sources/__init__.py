"""Opening a data set: a Hub id, a folder, files."""
