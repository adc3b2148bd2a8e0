"""Who is in which arm, and who is held out: a salted hash of the id, the same in every process and forever."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.experiments.experiment import Experiment

_RANGE = 1 << 64


def number(salt: str, user_id: str, person: bytes) -> int:
    """64 bits of a BLAKE2b of salt and id, evenly spread; `person` (up to 16 bytes) tells uses of one salt apart."""
    text = f"{salt}\0{user_id}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8, person=person).digest(), "little")


class ArmDraw:
    """The draw of the arms of one experiment."""

    __slots__ = ("_bounds", "_salt")

    def __init__(self, experiment: Experiment) -> None:
        self._salt = experiment.salt
        shares = np.cumsum([arm.share for arm in experiment.arms])
        self._bounds = [min(round(float(share) * _RANGE), _RANGE) for share in shares]
        if shares[-1] > 1 - 1e-9:  # all viewers: a sum of thirds may end below
            self._bounds[-1] = _RANGE

    def arm(self, user_id: str) -> int | None:
        """The number of a viewer's arm; None: the viewer is in none."""
        drawn = number(self._salt, user_id, b"pymk-arm")
        for at, bound in enumerate(self._bounds):
            if drawn < bound:
                return at
        return None


def held_out(experiment: Experiment, user_ids: Iterable[str]) -> NDArray[np.bool_]:
    """(k,) whether each person is held out as a candidate."""
    bound, salt = round(experiment.candidates.holdout * _RANGE), experiment.salt
    if not bound:
        return np.zeros(sum(1 for _ in user_ids), dtype=np.bool_)
    return np.array([number(salt, user_id, b"pymk-holdout") < bound for user_id in user_ids], dtype=np.bool_)


def arms_of(experiment: Experiment, user_ids: Sequence[str]) -> list[str | None]:
    """The names of the arms of viewers, None for one who is in none."""
    draw, names = ArmDraw(experiment), [arm.name for arm in experiment.arms]
    return [None if (at := draw.arm(user_id)) is None else names[at] for user_id in user_ids]
