"""Opening of networks of this package and of other projects, and inference with them."""
