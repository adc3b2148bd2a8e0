"""Reading the files of a dataset directory."""
