"""Tests of transactions: who did it, when, why, and what was changed."""
