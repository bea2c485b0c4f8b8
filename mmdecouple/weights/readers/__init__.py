"""The containers that weights are stored in, opened without calling anything that a file names."""
