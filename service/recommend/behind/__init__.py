"""What is written behind the answers: ranked lists, the queue for candidates, and the exposure log."""
