"""Forward passes over a data set: in batches, shared among processes, cached."""
