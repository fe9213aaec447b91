"""A session in the past: whatever is asked is answered as it was."""
