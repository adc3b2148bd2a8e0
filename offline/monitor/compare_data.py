"""Checks of a dataset against the reference statistics of a version: its columns, their meaning, graph and features."""

from collections.abc import Iterator
from math import sqrt

import numpy as np

from models.schema.columns import Kind
from models.schema.statistic_names import DATED_STATISTICS
from offline.evaluation.drift_check import DriftCheck
from offline.monitor.distributions import (
    ALMOST_NEVER,
    SELDOM,
    bins_of_quantiles,
    bins_of_values,
    ks,
    ks_by_chance,
    psi,
    psi_by_chance,
)
from offline.monitor.reference import LEAST_NAMED, POINTS, ColumnReference, ReferenceStatistics

PSI_WARN, PSI_ALARM = 0.1, 0.25
"""the customary bounds of a moderate and of a large shift"""
KS_WARN, KS_ALARM = 0.1, 0.2
SHARE_WARN, SHARE_ALARM = 0.05, 0.1
"""change of a share of missing values, of people without friends or outside the largest component"""
NEW_WARN, NEW_ALARM = 0.02, 0.05
"""share of values that the version did not have, beyond what is to be expected"""
DEGREE_WARN, DEGREE_ALARM = 0.15, 0.25
"""relative change of the mean number of friends"""
MEANING_WARN, MEANING_ALARM = 0.25, 0.4
"""relative change of the assortativity of a column"""
LEAST_MEANING = 0.01
"""assortativity, and change of it, below which a column has no meaning to lose"""
MEANING_ERRORS = 5.0
"""standard errors by which an assortativity must differ from 0, and from that of the version"""
Z_WARN, Z_ALARM = 3.3, 3.9
"""standard errors that chance exceeds with SELDOM and ALMOST_NEVER"""
ALIKE = 0.8
"""share of values in common from which on a column is taken for another one that vanished"""
KNOWN_OR_NOT = {
    "dates": (
        DATED_STATISTICS,
        "too few dates of friendships any more to tell who made friends of late",
        "dates of friendships now, and there were too few",
    ),
    "interactions": (("log_acts", "log_received"), "no interactions any more", "interactions now, and there were none"),
}
"""what features of people rest on that a dataset may lack: its check, the features, and what is said if it goes or
comes"""
CODED = (Kind.CATEGORICAL, Kind.MULTI)


def compare_data(then: ReferenceStatistics, now: ReferenceStatistics) -> list[DriftCheck]:
    """Every check of the data; `then` are the statistics that a version kept, `now` those of a dataset."""
    return [*_columns(then, now), *_graph(then, now), *_features(then, now)]


def _columns(then: ReferenceStatistics, now: ReferenceStatistics) -> Iterator[DriftCheck]:
    gone = [name for name in then.columns if name not in now.columns]
    new = [name for name in now.columns if name not in then.columns]
    renamed = {name: _renamed_to(then.columns[name], new, now) for name in gone}
    for name in gone:
        other = renamed[name]
        said = f"column {name} is gone" + (f"; {other}, which is new, looks like it: was it renamed?" if other else "")
        yield DriftCheck.of(f"gone_{name}", "columns", 1, warn=1, alarm=1, sentence=said)
    for name in new:
        said = f"column {name} is new" + (" and looks like one that is gone" if name in renamed.values() else "")
        yield DriftCheck.of(f"new_{name}", "columns", 1, warn=1, alarm=2, sentence=said)
    for name, before in then.columns.items():
        after = now.columns.get(name)
        if after is None:
            continue
        if before.kind != after.kind:
            said = f"column {name} was {before.kind} and is {after.kind}"
            yield DriftCheck.of(f"kind_{name}", "columns", 1, warn=1, alarm=1, sentence=said)
            continue
        yield _missing(name, before, after)
        yield from _values(name, before, after, then, now)
        yield from _meaning(name, before, after)


def _renamed_to(gone: ColumnReference, new: list[str], now: ReferenceStatistics) -> str | None:
    """The new column that looks like one that is gone: the same kind and nearly the same values."""
    for name in new:
        other = now.columns[name]
        if other.kind != gone.kind:
            continue
        if gone.kind in CODED:
            shared = sum(count for value, count in other.values.items() if value in gone.values)
            if shared >= ALIKE * max(sum(other.values.values()), 1):
                return name
        elif gone.quantiles and ks(gone.quantiles, other.quantiles) < 1 - ALIKE:
            return name
    return None


def _missing(name: str, before: ColumnReference, after: ColumnReference) -> DriftCheck:
    one, other = 1 - before.filled / max(before.people, 1), 1 - after.filled / max(after.people, 1)
    error = _share_error((one + other) / 2, before.people, after.people)
    return DriftCheck.of(
        f"missing_{name}",
        "columns",
        abs(other - one),
        warn=max(SHARE_WARN, Z_WARN * error),
        alarm=max(SHARE_ALARM, Z_ALARM * error),
        sentence=f"column {name} is empty for {other:.1%} of the people, and was for {one:.1%}",
    )


def _share_error(share: float, n: int, m: int) -> float:
    return sqrt(max(share * (1 - share), 1e-4) * (1 / max(n, 1) + 1 / max(m, 1)))


def _values(
    name: str, before: ColumnReference, after: ColumnReference, then: ReferenceStatistics, now: ReferenceStatistics
) -> Iterator[DriftCheck]:
    """PSI, and KS of numbers or new values of categories."""
    if before.kind in CODED:
        n, m = sum(before.values.values()), sum(after.values.values())
        if not n or not m:
            return
        people = (before.filled, after.filled) if before.kind == Kind.MULTI else (n, m)
        names, one, other = bins_of_values(before.values, after.values)
        shares = np.abs(other / m - one / n)
        most = int(shares.argmax())
        named = names[most]
        if most < len(names) - 1 and after.values.get(named, 0) < LEAST_NAMED:
            named = "a rare value"
        said = f"{named} from {one[most] / n:.1%} to {other[most] / m:.1%} of the values of {name}"
        yield _psi(
            f"psi_{name}", f"the values of {name} shifted by a PSI of", one, other, *people, f", most of all {said}"
        )
        yield _new_values(name, before, after)
    elif before.quantiles and after.quantiles:
        n, m = before.filled, after.filled
        one, other = bins_of_quantiles(before.quantiles, after.quantiles, n, m)
        distance, index = ks(before.quantiles, after.quantiles), psi(one, other)
        if before.kind == Kind.TIMESTAMP:  # a last visit moves with the calendar: its age is what may drift
            aged = [cut - np.asarray(column.quantiles[::-1]) for cut, column in ((then.cut, before), (now.cut, after))]
            ages = [age.tolist() for age in aged]
            distance = min(distance, ks(*ages))
            by_age = bins_of_quantiles(ages[0], ages[1], n, m)
            if psi(*by_age) < index:
                one, other = by_age
        middle = f", the median from {_middle(before.quantiles):g} to {_middle(after.quantiles):g}"
        if before.longitudes and after.longitudes and ks(before.longitudes, after.longitudes) > distance:
            distance = ks(before.longitudes, after.longitudes)
            one, other = bins_of_quantiles(before.longitudes, after.longitudes, n, m)
            moved = f"{_middle(before.longitudes):g} to {_middle(after.longitudes):g}"
            middle = f", the median longitude from {moved}"
        yield _psi(f"psi_{name}", f"the values of {name} shifted by a PSI of", one, other, n, m, middle)
        yield _ks(f"ks_{name}", "columns", f"the distribution of {name} moved by", distance, n, m, middle)


def _middle(quantiles: list[float]) -> float:
    return quantiles[POINTS // 2]


def _psi(name: str, said: str, one: np.ndarray, other: np.ndarray, n: int, m: int, more: str) -> DriftCheck:
    value = psi(one, other)
    return DriftCheck.of(
        name,
        "columns",
        value,
        warn=max(PSI_WARN, psi_by_chance(len(one), n, m, SELDOM)),
        alarm=max(PSI_ALARM, psi_by_chance(len(one), n, m, ALMOST_NEVER)),
        sentence=f"{said} {value:.3f}{more}",
    )


def _ks(name: str, group: str, said: str, value: float, n: int, m: int, more: str) -> DriftCheck:
    return DriftCheck.of(
        name,
        group,  # type: ignore[arg-type]
        value,
        warn=max(KS_WARN, ks_by_chance(n, m, SELDOM)),
        alarm=max(KS_ALARM, ks_by_chance(n, m, ALMOST_NEVER)),
        sentence=f"{said} {value:.3f} (KS){more}",
    )


def _new_values(name: str, before: ColumnReference, after: ColumnReference) -> DriftCheck:
    """The share of values that the version did not have, beyond what Good and Turing expect (Good 1953): that the next
    value is new with the share of values which one person alone has.
    """
    n, m = sum(before.values.values()), sum(after.values.values())
    unknown = {value: count for value, count in after.values.items() if value not in before.values}
    share, rare = sum(unknown.values()) / m, before.singletons / n
    grown = max(after.filled - before.filled, 0) / max(after.filled, 1)
    expected = rare * grown if before.distinct <= len(before.values) else 1.0
    people = after.filled if after.kind == Kind.MULTI else m  # the values of one person come together
    error = sqrt(max(share * (1 - share), 1 / people) / people)
    said = f"{share:.1%} of the values of {name} are new"
    if unknown:
        value, count = max(unknown.items(), key=lambda one: one[1])
        said += f", most often {value if count >= LEAST_NAMED else 'a rare one'} ({count / m:.1%})"
    return DriftCheck.of(
        f"new_values_{name}",
        "columns",
        share,
        warn=max(NEW_WARN, Z_WARN * error) + expected,
        alarm=max(NEW_ALARM, Z_ALARM * error) + expected,
        sentence=said,
    )


def _meaning(name: str, before: ColumnReference, after: ColumnReference) -> Iterator[DriftCheck]:
    """Whether friends are still alike in a column by as much as they were."""
    one, other = before.assortativity, after.assortativity
    if one is None or other is None or abs(one) < max(LEAST_MEANING, MEANING_ERRORS * before.assortativity_error):
        return
    error = sqrt(before.assortativity_error**2 + after.assortativity_error**2)
    least = max(LEAST_MEANING, MEANING_ERRORS * error) / abs(one)
    moved, warn = abs(other - one) / abs(one), max(MEANING_WARN, least)
    why = ": its values may mean something else now, or friendships form between other groups"
    yield DriftCheck.of(
        f"meaning_{name}",
        "meaning",
        moved,
        warn=warn,
        alarm=max(MEANING_ALARM, least),
        sentence=f"friends are alike in {name} with an assortativity of {other:.3f}, and were with {one:.3f}"
        + (why if moved >= warn else ""),
    )


def _graph(then: ReferenceStatistics, now: ReferenceStatistics) -> Iterator[DriftCheck]:
    before, after = then.graph, now.graph
    # the mean number of friends
    one, other = (2 * graph.friendships / max(graph.people, 1) for graph in (before, after))
    error = sqrt(sum(_variance(reference) / max(reference.graph.people, 1) for reference in (then, now)))
    if one:
        yield DriftCheck.of(
            "friends",
            "graph",
            abs(other - one) / one,
            warn=max(DEGREE_WARN, Z_WARN * error / one),
            alarm=max(DEGREE_ALARM, Z_ALARM * error / one),
            sentence=f"people have {other:.1f} friends each, and had {one:.1f}: "
            f"{after.friendships:,} friendships after {before.friendships:,}",
        )
    # people without friends, and those outside the largest component
    for name, first, second, said in (
        ("isolated", before.isolated, after.isolated, "of the people have no friends"),
        ("outside", 1 - before.largest, 1 - after.largest, "of those with friends are outside the largest component"),
    ):
        error = _share_error((first + second) / 2, before.people, after.people)
        yield DriftCheck.of(
            {"outside": "components"}.get(name, name),
            "graph",
            abs(second - first),
            warn=max(SHARE_WARN, Z_WARN * error),
            alarm=max(SHARE_ALARM, Z_ALARM * error),
            sentence=f"{second:.1%} {said}, and {first:.1%} were"
            + (f"; {after.components:,} components after {before.components:,}" if name == "outside" else ""),
        )


def _variance(reference: ReferenceStatistics) -> float:
    """The variance of the number of friends."""
    friends = np.expm1(np.asarray(reference.features.get("log_degree", [0.0])))
    return float(friends.var()) if len(friends) else 0.0


def _features(then: ReferenceStatistics, now: ReferenceStatistics) -> Iterator[DriftCheck]:
    n, m = then.graph.people, now.graph.people
    titles = {"log_degree": "friends", "clustering": "clustering", "friends_log_degree": "the friends of friends"}
    for name, (features, gone, new) in KNOWN_OR_NOT.items():
        had, has = (any(reference.features.get(one) for one in features) for reference in (then, now))
        if had != has:
            yield DriftCheck.of(
                name,
                "features",
                1,
                warn=1,
                alarm=1 if had and name == "interactions" else 2,  # of dates the check `dataset` gives alarm
                sentence=f"there are {gone if had else new}",
            )
    for name, before in then.features.items():
        after = now.features.get(name, [])
        if not before or not after:
            continue
        middle = f", the median from {before[POINTS // 2]:.3g} to {after[POINTS // 2]:.3g}"
        group = "graph" if name in titles else "features"
        said = f"the distribution of {titles.get(name, name)} over people moved by"
        yield _ks(f"ks_{name}", group, said, ks(before, after), n, m, middle)
