"""Is it the same run, is it done, may I write here: folders, stamps, locks, resumes, child processes, progress."""
