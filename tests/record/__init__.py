"""What a flush changed, and who did it."""
