"""Tests of how models are mapped: inheritance, styles of declaration, columns, tables, sessions."""
