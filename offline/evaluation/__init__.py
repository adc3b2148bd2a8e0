"""Whether the suggestions are any good: full ranking beside the classic baselines, with intervals, and the gate."""
