"""What every training shares: the processes that it runs in, and the state that it resumes from."""
