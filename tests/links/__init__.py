"""Tests of links: what is recorded of association tables."""
