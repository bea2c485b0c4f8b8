"""Training without a config: chooses network, batch, learning rate and length for the data and the machine."""
