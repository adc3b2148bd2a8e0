"""Scoring candidates and attributing a score to its inputs. Imports kernels, versions and below."""
