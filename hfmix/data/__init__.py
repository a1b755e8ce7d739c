"""Data: from a Hub id, a folder or files to the examples that a model is trained and evaluated on."""
