"""Tests of reading: what a version, a query of versions and a moment promise."""
