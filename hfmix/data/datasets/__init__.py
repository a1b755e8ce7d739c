"""Data sets as a DataLoader reads them."""
