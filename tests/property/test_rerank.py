"""Diversity looks at the beginning of a list first: what it places is what a look at the whole list would place."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from service.ranking.kernels.diversity import PAGE
from service.ranking.ranked_list import RankedList
from service.ranking.rerank import Diversity, Reranker, RerankSettings
from service.ranking.user_flags import UserFlags
from tests.support.tables import MakeTables

COMPANIES = (None, "Acme", "Bolt", "Cog", "Dyn", "Ecru")

STRETCHES = st.lists(st.tuples(st.integers(0, len(COMPANIES) - 1), st.integers(1, 160)), min_size=1, max_size=8)
"""companies of a list as stretches of people: one so long that the others stand behind the beginning"""


def page_by_page(codes: list[int], most: int) -> list[int]:
    """Everybody's places: on each page the best with at most `most` of one code, and of all where it is short."""
    left, order = list(range(len(codes))), []
    while left:
        page: list[int] = []
        for at in left:
            if len(page) < PAGE and (codes[at] < 0 or [codes[one] for one in page].count(codes[at]) < most):
                page.append(at)
        page += [at for at in left if at not in page][: PAGE - len(page)]
        order += sorted(page)
        left = [at for at in left if at not in page]
    return order


@given(STRETCHES, st.integers(0, 2**32), st.integers(0, 300), st.integers(1, 100), st.integers(1, PAGE))
@example([(1, 160), (2, 4), (0, 3)], 0, 0, 100, 5)
@example([(1, 99), (0, 1), (2, 50)], 0, 0, 20, 1)
def test_a_look_at_the_beginning_places_what_a_look_at_all_would(
    make_tables: MakeTables,
    stretches: list[tuple[int, int]],
    seed: int,
    missing: int,
    places: int,
    most: int,
) -> None:
    companies = np.concatenate([np.full(length, company) for company, length in stretches])
    n, random = len(companies), np.random.default_rng(seed)
    rows = random.permutation(n)
    column: list[str | None] = [None] * n
    for row, company in zip(rows.tolist(), companies.tolist(), strict=True):
        column[row] = COMPANIES[company]
    tables = make_tables([f"{at:04}" for at in range(n)], [], categories={"company": column})
    reranker = Reranker(tables, RerankSettings(Diversity("company", most)))
    scores = np.linspace(0.9, 0.1, n, dtype=np.float32)
    bits = np.ones(n, dtype=np.uint8)

    def placed(known: int) -> list[int] | None:
        listed = RankedList(0, rows[:known].astype(np.uint32), scores[:known], bits[:known], known == n)
        made = reranker.rerank(
            listed, "web", places, None, UserFlags(tables), {}, None if known == n else scores[known - 1]
        )
        return None if made is None else made.rows.tolist()

    codes = tables.categorical_codes[rows, 0].tolist()
    expected = rows[page_by_page(codes, most)[:places] if most < PAGE else np.arange(min(places, n))].tolist()
    assert placed(n) == expected
    assert placed(max(n - missing, 1)) in (expected, None)
