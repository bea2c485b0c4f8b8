"""Names and layouts of tensors in checkpoints of other projects, and their conversion."""
