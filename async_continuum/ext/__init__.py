"""Joined to what a user's process runs on: web servers and migrations; each file needs its framework only if used."""
