"""Data sets that a DataLoader reads: decoded as needed, streamed, or in memory."""
