"""The images that measures show to a network: settings, draws, and one data set of all of them."""
