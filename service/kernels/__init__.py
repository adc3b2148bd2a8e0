"""The loops of a request that would be slow as arrays, over arrays all the same.

Importing this compiles nothing; service.ranking.Ranking.prepare does, or loads what was compiled before.
"""
