"""How far back live state has to go."""

from collections.abc import Iterable

from models.manifest import Manifest


def floor_of(manifests: Iterable[Manifest]) -> int:
    """The stamp that the cut of every one of these versions has reached, microseconds; 0 where there is none.

    Give all versions that can still be activated, on whichever host: what came after an older one's cut is kept for it.
    """
    return min((manifest.cut_us for manifest in manifests), default=0)
