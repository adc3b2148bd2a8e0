"""The users.csv of a synthetic network, with the missing values of real profiles."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.schema.columns import Kind
from offline.synth import names
from offline.synth.communities import Communities

KINDS = {
    "headline": Kind.TEXT,
    "city": Kind.CATEGORICAL,
    "location": Kind.LOCATION,
    "school": Kind.CATEGORICAL,
    "class_of": Kind.NUMERIC,
    "company": Kind.CATEGORICAL,
    "industry": Kind.CATEGORICAL,
    "birth_year": Kind.NUMERIC,
    "interests": Kind.MULTI,
}
"""the feature columns; name, created_at and the flags are built-in columns"""

REASONS = ("school", "company", "city")

HIDDEN_SHARE = {"discoverable": 0.015, "active": 0.015, "connections_visible": 0.02}
"""share of the users for whom each flag is false"""


def flags(users: int, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """The three flags, (users,) bool each."""
    return {flag: rng.random(users) >= share for flag, share in HIDDEN_SHARE.items()}


def _handles(first: NDArray[np.int64], last: NDArray[np.int64], rng: np.random.Generator) -> pl.Series:
    """Readable user ids, unique by a number of at least four digits: ada.belmond.4821."""
    users = len(first)
    low = 1_000
    while 9 * low < users:
        low *= 10
    numbers = rng.permutation(9 * low)[:users] + low
    parts = pl.DataFrame(
        {
            "first": pl.Series([name.lower() for name in names.FIRST_NAMES]).gather(first),
            "last": pl.Series([name.lower() for name in names.surnames()]).gather(last),
            "number": numbers,
        }
    )
    return parts.select(pl.concat_str(["first", "last", "number"], separator=".")).to_series()


def _values_of(values: names.Words, codes: NDArray[np.int32], missing: NDArray[np.bool_]) -> pl.Series:
    """The value of each code as text; null if the code is -1 or the value is missing."""
    gone = missing | (codes < 0)
    found = pl.Series(list(values), dtype=pl.String).gather(np.where(gone, 0, codes))
    return found.zip_with(pl.Series(~gone), pl.Series([None], dtype=pl.String))


def _numbers(values: NDArray[np.int32], missing: NDArray[np.bool_]) -> pl.Series:
    return pl.Series(values).zip_with(pl.Series(~missing & (values >= 0)), pl.Series([None], dtype=pl.Int32))


def _interests(communities: Communities) -> pl.Series:
    indptr, codes = communities.interests
    person = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    chosen = pl.DataFrame({"person": person, "interest": pl.Series(names.INTEREST_NAMES).gather(codes)})
    joined = chosen.group_by("person", maintain_order=True).agg(pl.col("interest").str.join("|"))
    everybody = pl.DataFrame({"person": np.arange(len(indptr) - 1)})
    return everybody.join(joined, on="person", how="left", maintain_order="left")["interest"]


def _locations(communities: Communities, rng: np.random.Generator) -> pl.Series:
    """Homes near the centre of their city, "lat,lon" to four decimals (ten metres); a seventh are null."""
    users = len(communities.city)
    middle = np.column_stack([rng.uniform(36, 60, communities.cities), rng.uniform(-9, 30, communities.cities)])
    homes = np.round(middle[communities.city] + rng.normal(0.0, 0.06, size=(users, 2)), 4)
    given = pl.Series(rng.random(users) >= 0.15)
    texts = pl.DataFrame({"lat": homes[:, 0], "lon": homes[:, 1]}).select(pl.concat_str(["lat", "lon"], separator=","))
    return texts.to_series().zip_with(given, pl.Series([None], dtype=pl.String))


def table(
    communities: Communities, joined: NDArray[np.int64], seen: dict[str, NDArray[np.bool_]], rng: np.random.Generator
) -> pl.DataFrame:
    """The profiles in the order of joining; the columns of KINDS beside user_id, name, created_at and the flags."""
    # names of places, schools and companies
    users = len(joined)
    city_names = names.cities(communities.cities, rng)
    school_names = names.schools(communities.school_city, city_names, rng)
    kinds = len(names.INDUSTRIES)
    company_industry = rng.integers(kinds, size=len(communities.company_city))
    company_names = names.companies(company_industry, rng)

    # values of each user
    first = rng.integers(len(names.FIRST_NAMES), size=users)
    surnames = names.surnames()
    last = (len(surnames) * rng.random(users) ** 2).astype(np.int64)
    industry = np.where(communities.company >= 0, company_industry[communities.company], -1).astype(np.int32)

    def missing(share: float) -> NDArray[np.bool_]:
        return rng.random(users) < share

    # columns, with the share of missing values of each
    columns = pl.DataFrame(
        {
            "user_id": _handles(first, last, rng),
            "first": pl.Series(names.FIRST_NAMES).gather(first),
            "last": pl.Series(list(surnames), dtype=pl.String).gather(last),
            "city": _values_of(city_names, communities.city, missing(0.05)),
            "location": _locations(communities, rng),
            "school": _values_of(school_names, communities.school, missing(0.08)),
            "class_of": _numbers(communities.class_of, missing(0.1)),
            "company": _values_of(company_names, communities.company, missing(0.08)),
            "industry": _values_of(np.array(list(names.INDUSTRIES), dtype=object), industry, missing(0.1)),
            "birth_year": _numbers(communities.birth_year, missing(0.2)),
            "interests": _interests(communities),
            "role": _roles(industry, communities, rng),
            "talks": ~missing(0.2),
            "created_at": joined,
            **seen,
        }
    )
    return columns.with_columns(
        pl.concat_str(["first", "last"], separator=" ").alias("name"),
        pl.from_epoch("created_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        pl.when("talks").then(_headline()).alias("headline"),
    ).select("user_id", "name", *KINDS, "created_at", *seen)


def _roles(industry: NDArray[np.int32], communities: Communities, rng: np.random.Generator) -> pl.Series:
    """The role of each user: one of their industry's, "Student" while at school, else looking for work."""
    roles = [role for _, roles in names.INDUSTRIES.values() for role in roles]
    begins = np.cumsum([0] + [len(roles) for _, roles in names.INDUSTRIES.values()])
    found = begins[industry] + (rng.random(len(industry)) * np.diff(begins)[industry]).astype(np.int64)
    studies = (industry < 0) & (communities.class_of >= 2026)
    found = np.where(studies, len(roles), np.where(industry < 0, len(roles) + 1, found))
    return pl.Series([*roles, "Student", "Looking for what comes next"]).gather(found)


def _headline() -> pl.Expr:
    """The role, with the company or school if the profile has it, and the most important interest."""
    dearest = pl.col("interests").str.split("|").list.first()
    place = (
        pl.when(pl.col("industry").is_not_null() & pl.col("company").is_not_null())
        .then(pl.concat_str([pl.lit(" at "), "company"]))
        .when((pl.col("role") == "Student") & pl.col("school").is_not_null())
        .then(pl.concat_str([pl.lit(" at "), "school"]))
        .otherwise(pl.lit(""))
    )
    hobby = pl.when(dearest.is_not_null()).then(pl.concat_str([pl.lit(", into "), dearest])).otherwise(pl.lit(""))
    return pl.concat_str([pl.col("role"), place, hobby])
