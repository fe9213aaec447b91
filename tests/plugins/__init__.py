"""Tests of plugins: what each promises, on every backend, alone and with the others."""
