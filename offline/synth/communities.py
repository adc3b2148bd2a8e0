"""Assigns users to overlapping communities: cities, schools, companies and the small groups inside them.

Each user is in up to eight layers of groups: a circle (classmates who know each other), a team (the same at work), the
year at school, the school, the company, a club (users of one city who share an interest), the city, and everybody.
Circles nest in years and years in schools; teams nest in companies; schools and companies draw mostly on their city.
Sizes are heavy-tailed at each level and grow with the mean number of friends, so that a group offers about as many
users as a user could befriend in it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Weights = NDArray[np.float64]

LAYERS = ("circle", "team", "year", "school", "company", "club", "city", "everybody")

INTERESTS = 72
"""number of interests; names.py holds their names"""

MINGLING = 0.4
"""standard deviation, in log sociability, of the noise that mixes users of different sociability in a circle"""

SIZE_GROWTH = 1.0
"""exponent with which a circle's size grows with its users' sociability"""

CIRCLE_ROOM = 1.3
"""size of an average circle, in units of 6 plus six tenths of the mean number of friends"""


@dataclass(frozen=True)
class Communities:
    """The groups of every user, each (n,) int32 with -1 for none, and properties of the groups."""

    city: Codes
    """city of residence"""
    school: Codes
    company: Codes
    class_of: Codes
    """year of leaving school; -1 without one"""
    birth_year: Codes
    circle: Codes
    team: Codes
    interests: tuple[Codes, Codes]
    """indptr (n + 1,) and codes of each user's interests, the most important first"""
    cities: int
    school_city: Codes
    company_city: Codes

    def layers(self) -> Codes:
        """(n, 8) int32: the group of each user in each of LAYERS, numbered across layers; -1 for none."""
        n = len(self.city)
        year = np.where(self.school >= 0, self.school.astype(np.int64) * 200 + self.class_of - 1900, -1)
        indptr, codes = self.interests
        club = np.full(n, -1, dtype=np.int64)
        some = np.diff(indptr) > 0
        club[some] = self.city[some].astype(np.int64) * INTERESTS + codes[indptr[:-1][some]]
        everybody = np.zeros(n, dtype=np.int64)
        found = np.full((n, len(LAYERS)), -1, dtype=np.int32)
        first = 0
        columns = (self.circle, self.team, year, self.school, self.company, club, self.city, everybody)
        for layer, groups in enumerate(columns):
            assigned = groups >= 0
            values, numbered = np.unique(groups[assigned], return_inverse=True)
            found[assigned, layer] = numbered + first
            first += len(values)
        return found


def sociability(users: int, rng: np.random.Generator) -> Weights:
    """Relative rate of making friends, (users,) with mean 1: heavy-tailed, with a seventh nearly inactive."""
    drawn = rng.gamma(2.0, 0.5, size=users) * rng.lognormal(0.0, 0.35, size=users)
    readiness: Weights = 0.02 + np.where(rng.random(users) < 0.15, 0.2, 1.0) * drawn
    return readiness / float(readiness.mean())


def _choose(weights: Weights, count: int, rng: np.random.Generator) -> Codes:
    """`count` positions drawn in proportion to `weights`, (count,) int32."""
    cumulative = np.cumsum(weights)
    drawn: Codes = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    return drawn.clip(max=len(weights) - 1).astype(np.int32)


def _choose_within(place: Codes, wanted: Codes, weights: Weights, rng: np.random.Generator) -> Codes:
    """For each wanted place one position at it, drawn by weight; any position if the place has none."""
    order = np.argsort(place, kind="stable")
    cumulative = np.concatenate([[0.0], np.cumsum(weights[order])])
    low = np.searchsorted(place[order], wanted, side="left")
    high = np.searchsorted(place[order], wanted, side="right")
    spot = cumulative[low] + rng.random(len(wanted)) * (cumulative[high] - cumulative[low])
    found = (np.searchsorted(cumulative, spot, side="right") - 1).clip(low, np.maximum(high - 1, low))
    anywhere = _choose(weights, len(wanted), rng)
    return np.where(high > low, order[found.clip(max=len(order) - 1)], anywhere).astype(np.int32)


def _sliced(anchor: NDArray[np.int64], sociability: Weights, mean_size: float, rng: np.random.Generator) -> Codes:
    """Each group of `anchor` split into circles, (n,) int32; -1 if the anchor is -1.

    Users of similar sociability share a circle, and the circle is larger the more sociable they are: real networks are
    assortative by degree, and a fifth of the friends of users with many friends still know each other.
    """
    n = len(anchor)
    liveliness = np.log(sociability) + rng.normal(0.0, MINGLING, size=n)
    order = np.lexsort((liveliness, anchor))
    size = mean_size * np.exp(SIZE_GROWTH * liveliness[order]).clip(0.25, 6.0)
    begins = np.diff(np.floor(np.cumsum(1 / size)), prepend=0.0) > 0
    begins[1:] |= anchor[order][1:] != anchor[order][:-1]
    circle = np.empty(n, dtype=np.int32)
    circle[order] = np.cumsum(begins)
    return np.where(anchor >= 0, circle, -1).astype(np.int32)


def _interests(circle: Codes, age: Codes, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """Up to seven interests each: half from the three of the circle, half from the popular ones."""
    n = len(circle)
    popular = 1 / (np.arange(INTERESTS) + 6.0)
    tastes = _choose(popular, 3 * (int(circle.max(initial=0)) + 1), rng).reshape(-1, 3)
    how_many = rng.binomial(7, np.where(age < 35, 0.5, 0.35))
    how_many[rng.random(n) < 0.08] = 0
    person = np.repeat(np.arange(n), how_many)
    shared = tastes[circle[person], rng.integers(3, size=len(person))]
    chosen = np.where(rng.random(len(person)) < 0.5, shared, _choose(popular, len(person), rng))
    _, first = np.unique(person.astype(np.int64) * INTERESTS + chosen, return_index=True)
    first.sort()
    indptr = np.zeros(n + 1, dtype=np.int32)
    np.cumsum(np.bincount(person[first], minlength=n), out=indptr[1:])
    return indptr, chosen[first].astype(np.int32)


def assign_communities(sociability: Weights, mean_friends: float, rng: np.random.Generator) -> Communities:
    """The communities of users of this sociability, (n,) with mean 1, who will have `mean_friends` each on average."""
    # cities
    users = len(sociability)
    cities = max(1, round((users / 400) ** 0.6))
    home = _choose(1 / (np.arange(cities) + 2.0), users, rng)

    # schools: mostly in the home city
    age = (18 + rng.gamma(2.0, 6.5, size=users)).clip(max=85).astype(np.int32)
    birth_year = 2026 - age
    schools = max(1, round(users / (200 + 30 * mean_friends)))
    school_city = _choose(1 / (np.arange(cities) + 2.0), schools, rng)
    school_size = rng.lognormal(0.0, 0.9, size=schools)
    nearby = _choose_within(school_city, home, school_size, rng)
    school = np.where(rng.random(users) < 0.75, nearby, _choose(school_size, users, rng)).astype(np.int32)
    school[rng.random(users) < 0.06] = -1
    class_of = np.where(school >= 0, birth_year + 22 + rng.binomial(3, 0.2, size=users), -1).astype(np.int32)

    # moves, then companies of the city of residence
    moved = rng.random(users)
    city = np.where(moved < 0.15, _choose(1 / (np.arange(cities) + 2.0), users, rng), home)
    city = np.where((moved > 0.75) & (school >= 0), school_city[school], city).astype(np.int32)
    companies = max(1, round(users / (10 + 3 * mean_friends)))
    company_city = _choose(1 / (np.arange(cities) + 2.0), companies, rng)
    company_size = rng.pareto(1.3, size=companies) + 0.3
    company = _choose_within(company_city, city, company_size, rng)
    company = np.where(rng.random(users) < 0.9, company, _choose(company_size, users, rng)).astype(np.int32)
    company[rng.random(users) < np.where(age < 23, 0.75, 0.12)] = -1

    # circles within a year of a school, teams within a company
    circle_size = CIRCLE_ROOM * (6 + 0.6 * mean_friends)
    cohort = np.where(school >= 0, school.astype(np.int64) * 200 + class_of - 1900, schools * 200 + city)
    circle = _sliced(cohort.astype(np.int64), sociability, circle_size, rng)
    team = _sliced(company.astype(np.int64), sociability, circle_size, rng)
    return Communities(
        city=city,
        school=school,
        company=company,
        class_of=class_of,
        birth_year=birth_year,
        circle=circle,
        team=team,
        interests=_interests(circle, age, rng),
        cities=cities,
        school_city=school_city,
        company_city=company_city,
    )
