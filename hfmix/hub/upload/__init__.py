"""Publication of a run on the Hub, in one commit."""
