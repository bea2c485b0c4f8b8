"""Published numbers beside ours: what `docs/table_of_truth.md` is made from. For a checkout, whose docs it reads."""
