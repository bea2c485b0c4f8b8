"""The whole story of a method on built-in data, in minutes."""
