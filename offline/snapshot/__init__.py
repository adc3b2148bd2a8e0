"""A dataset and the live events since, frozen. Imports the dataset."""
