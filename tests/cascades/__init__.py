"""Tests of what the database does by itself: cascades to rows and links."""
