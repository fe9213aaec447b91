"""The data steps of migrations."""
