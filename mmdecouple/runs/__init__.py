"""Run folders and processes: identity of a run, completion, locks, resume checks, child processes and progress."""
