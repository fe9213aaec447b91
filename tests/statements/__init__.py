"""Statements on models and tables are recorded as objects are."""
