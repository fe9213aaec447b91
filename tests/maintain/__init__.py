"""Tests of maintenance: history begun late, tidied up, and proved."""
