"""Readers of weight containers that never call functions that a file names."""
