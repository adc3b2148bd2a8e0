"""The optional table of contacts of a dataset: uploads as hashes, which go into the store and into no version."""
