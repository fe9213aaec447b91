"""End to end, one promise each."""
