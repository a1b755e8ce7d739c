"""Sources of data sets: the Hub, folders, files, and data sets that come with a dependency."""
