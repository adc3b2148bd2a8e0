"""The steps of a night in their order, from the snapshot to the published version."""
