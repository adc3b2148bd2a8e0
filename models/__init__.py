"""What the night and the service share: features, candidates, scoring, records, versions, the store."""
