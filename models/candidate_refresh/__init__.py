"""Who needs new candidates, making them, and replaying them onto a new version. Imports the event log and below."""
