"""Published numbers beside numbers of this package, for `docs/table_of_truth.md`. Requires a checkout with its docs."""
