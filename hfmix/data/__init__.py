"""From the name of a source to the examples that a model is trained on."""
