"""A canary: its guardrails, and what they lead to."""
