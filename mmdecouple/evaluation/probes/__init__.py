"""Probe images that measures show to a network: settings, draws, and a data set of all images."""
