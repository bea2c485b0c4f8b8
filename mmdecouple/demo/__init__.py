"""Demo of a method on built-in data in minutes: training, measuring and report."""
