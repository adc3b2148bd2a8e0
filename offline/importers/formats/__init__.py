"""The formats that are imported: one file each, and what some of them share."""
