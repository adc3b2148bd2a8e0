"""The names of the per-user statistics, for code that reads without computing them."""

from typing import Final

STATISTICS: Final = ("log_degree", "clustering", "friends_log_degree", "log_spectral_norm")
"""log_degree          ln(1 + friends)
clustering          share of pairs of friends who are friends (Watts, Strogatz 1998), among at most 64 friends
friends_log_degree  mean of ln(1 + friends) over the friends
log_spectral_norm   ln of the norm in the leading eigenvectors, scaled so that inner products estimate friendships
"""

LOG_DEGREE, CLUSTERING, FRIENDS_LOG_DEGREE, LOG_SPECTRAL_NORM = range(len(STATISTICS))
