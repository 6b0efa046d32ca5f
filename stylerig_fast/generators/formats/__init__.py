"""Checkpoint formats that generators are read from, one file each."""
