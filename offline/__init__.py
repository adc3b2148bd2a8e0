"""The nightly job: from a dataset directory to a published version."""
