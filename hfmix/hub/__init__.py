"""To the Hugging Face Hub and back: cards, pushing runs, loading and checking what was pushed."""
