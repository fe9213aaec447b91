"""Tests of reverting: an entity becomes again what a version says it was."""
