"""Names and layouts of the tensors in the checkpoints of each project, to and from ours."""
