"""The names of the per-user statistics, for code that reads without computing them."""

from typing import Final

STATISTICS: Final = ("log_degree", "clustering", "friends_log_degree", "log_spectral_norm")
"""log_degree          ln(1 + friends)
clustering          share of pairs of friends who are friends (Watts, Strogatz 1998), among at most 64 friends
friends_log_degree  mean of ln(1 + friends) over the friends
log_spectral_norm   ln of the norm in the leading eigenvectors, scaled so that inner products estimate friendships
"""

LOG_DEGREE, CLUSTERING, FRIENDS_LOG_DEGREE, LOG_SPECTRAL_NORM = range(len(STATISTICS))

DATED_STATISTICS: Final = ("late_1", "late_3", "late_10", "late_30", "last_age", "first_age")
"""What a version has beside STATISTICS if its friendships have dates; the known time is from the first of them on:

late_1, late_3, late_10, late_30   ln(1 + friendships made in the last 1, 3, 10 and 30% of the known time)
last_age                           ln(1 + 1,000 x age of the last friendship / known time)
first_age                          the same of the first friendship
"""

HORIZONS: Final = (0.01, 0.03, 0.1, 0.3)
"""shares of the known time that the first of them look back"""
AGE_SCALE: Final = 1e3

LATE_10: Final = len(STATISTICS) + DATED_STATISTICS.index("late_10")
LAST_AGE: Final = len(STATISTICS) + DATED_STATISTICS.index("last_age")
FIRST_AGE: Final = len(STATISTICS) + DATED_STATISTICS.index("first_age")
ALL_STATISTICS: Final = (*STATISTICS, *DATED_STATISTICS)
WIDTHS: Final = (len(STATISTICS), len(ALL_STATISTICS))
"""statistics of a version without dates, and of one with dates"""
