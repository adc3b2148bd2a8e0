"""The training window: which friendships are recent enough to be labels; older ones stay in the graph."""

from models.system.clock import DAY_S
from offline.features.temporal_graph import Friendships
from offline.night.config import SplitConfig


def oldest_label(readable: Friendships, config: SplitConfig) -> int | None:
    """The first moment of the training window, seconds since 1970; None if there is none.

    It ends with the last friendship that may be read. None without dates, and if `split.label_days` is 0.
    """
    if readable.dates is None or not len(readable.dates) or not config.label_days:
        return None
    return int(readable.dates.max() - config.label_days * DAY_S)


def label_share(friendships: Friendships, config: SplitConfig, oldest: int | None, parts: int) -> float:
    """The share of these friendships that are labels, if the rest of the window is for so many parts.

    A part reaches back beyond the window for its first `split.least_recent` friendships.
    """
    share = config.labels_of(friendships.count)
    if oldest is None or friendships.dates is None:
        return share
    recent = int((friendships.dates >= oldest).sum()) / parts
    return min(share, max(recent, config.least_recent) / max(friendships.count, 1))
