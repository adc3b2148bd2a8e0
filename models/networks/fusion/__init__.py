"""Networks that fuse the scores of a candidate into one."""
