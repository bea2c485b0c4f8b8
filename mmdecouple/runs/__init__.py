"""What makes a run one run: its folder, its record, its steps, its logs."""
