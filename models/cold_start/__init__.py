"""Lists for people of whom a profile is all that is known, and the question that would help them most."""
