"""Who was shown too often is taken up by whatever table comes, and nobody's row is searched for twice."""

from collections.abc import Callable
from dataclasses import replace

from models.live_state.exposure import Exposed
from models.live_state.flag_change import FlagChange
from models.live_state.visibility import HiddenSet
from models.schema.columns import Flag
from models.schema.vocabulary import Row, Vocabulary
from models.version.tables import Tables
from service.ranking.user_flags import UserFlags

MakeTables = Callable[..., Tables]


class Counting(Vocabulary):
    """Counts its searches."""

    searches = 0

    def row(self, user_id: str) -> Row | None:
        self.searches += 1
        return super().row(user_id)


def test_a_table_of_exposed_people_costs_a_search_for_each_newcomer_alone(make_tables: MakeTables) -> None:
    tables = make_tables(["ann", "bea", "cid", "dan"], [])
    vocabulary = Counting(tables.vocabulary.text, tables.vocabulary.offsets)
    now = UserFlags(replace(tables, vocabulary=vocabulary))
    for timestamp_us, (people, found, searches) in enumerate(
        [
            (["ann", "cid", "nobody"], [True, False, True, False], 3),
            (["ann", "cid", "dan", "nobody"], [True, False, True, True], 4),
            (["dan"], [False, False, False, True], 4),
            ([], None, 4),
            (["nobody"], None, 4),
        ]
    ):
        now.expose(Exposed.of(timestamp_us + 1, people))
        assert (None if now.exposed is None else now.exposed.tolist()) == found
        assert vocabulary.searches == searches


def test_who_is_hidden_is_taken_in_without_a_search_once_they_were_looked_up(make_tables: MakeTables) -> None:
    tables = make_tables(["ann", "bea", "cid", "dan"], [])
    vocabulary = Counting(tables.vocabulary.text, tables.vocabulary.offsets)
    now, hidden = UserFlags(replace(tables, vocabulary=vocabulary)), HiddenSet()
    change = FlagChange("cid", 5, {Flag.DISCOVERABLE: False})
    hidden.take([("1", b'{"epoch":1,' + change.encode()[1:])])
    now.rows(hidden.people(0))
    searches = vocabulary.searches
    now.hide(hidden, hidden.people(0), cut=1, changes=1)
    assert (now.flags & Flag.DISCOVERABLE).astype(bool).tolist() == [True, True, False, True]
    assert vocabulary.searches == searches
