"""Opening any network, ours or foreign, and running it without training it."""
