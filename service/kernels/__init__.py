"""The loops of a request that would be slow as arrays, over arrays all the same.

Importing this compiles nothing; service.rehearsal.rehearse does, or loads what was compiled before.
"""
