"""The cursor of the next page: it reads back, is bounded, and nothing else is taken for one."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest

from models.errors import CorruptRecordError
from models.schema.vocabulary import Row, UserId
from models.version.candidate_block import quantise
from models.version.manifest import Manifest
from service.ranking.pipeline import Ranking
from service.ranking.rerank import Diversity, RerankSettings
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend import responses
from service.recommend.cursor import LONGEST, MOST_SHOWN, Cursor, owner_of
from service.recommend.query import Query
from service.state.served_version import ServedVersion
from tests.support.api import FirstFeature
from tests.support.tables import MakeTables

VERSION = "20260101T000000Z-0a1b2c"
OWNER = owner_of("ann", "web")


def fail(reason: str, error: Exception) -> None:
    raise error


def cursor(count: int = 3) -> Cursor:
    made = Cursor(OWNER).after(VERSION, np.arange(count, dtype=np.uint32) * 7, np.float32(0.25))
    assert made is not None
    return made


def test_it_reads_back_and_is_safe_in_a_url() -> None:
    text = cursor().pack()
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    read = Cursor.unpack(text)
    assert (read.owner, read.shown.tolist(), read.lowest) == (OWNER, [0, 7, 14], np.float32(0.25))
    assert read.pack() == text


def test_pages_add_up_and_end_at_the_most() -> None:
    further = cursor().after(VERSION, np.array([5, 7], np.uint32), np.float32(0.125))
    assert further is not None
    assert further.shown.tolist() == [0, 5, 7, 14]
    assert cursor(MOST_SHOWN - 1).after(VERSION, np.array([1], np.uint32), np.float32(0)) is None
    assert len(cursor(MOST_SHOWN - 1).pack()) <= LONGEST


def test_scores_go_on_falling_within_a_version_and_begin_anew_with_another() -> None:
    assert cursor().ceiling(VERSION) == np.float32(0.25)
    assert cursor().ceiling("20260102T000000Z-0a1b2c") == 1
    assert Cursor(OWNER).ceiling(VERSION) == 1


def test_viewers_and_contexts_are_told_apart() -> None:
    owners = {owner_of("ann", "web"), owner_of("ann", "email"), owner_of("bea", "web"), owner_of("annweb", "")}
    assert len(owners) == 4


@pytest.mark.parametrize("text", ["a", "ab", "AQ", "=", "é" * 40, "\x00", "A" * (LONGEST + 1), "!" * 60])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CorruptRecordError):
        Cursor.unpack(text)


def test_every_changed_character_and_every_cut_is_noticed() -> None:
    text = cursor().pack()
    for at in range(len(text) - 1):  # the last holds bits that do not count
        with pytest.raises(CorruptRecordError):
            Cursor.unpack(text[:at] + ("B" if text[at] != "B" else "C") + text[at + 1 :])
        with pytest.raises(CorruptRecordError):
            Cursor.unpack(text[:at])
    record = b"\x02" + b"\0" * 20
    with pytest.raises(CorruptRecordError):
        Cursor.unpack(urlsafe_b64encode(record).decode())


def test_a_thousand_candidates_are_paged_through(make_tables: MakeTables) -> None:
    people = [f"u{number:04d}" for number in range(1300)]
    tables = make_tables(people, [])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ranking = Ranking(tables, FirstFeature(), RerankSettings(Diversity("company", 5)))
    version = ServedVersion(VERSION, Manifest(version=VERSION, created_at=now, cut=now, users=1300), ranking)
    rows = np.arange(1, 1251, dtype=np.uint32)
    block = quantise(0, rows, np.ones(1250, np.uint8), np.random.default_rng(0).random((1, 1250), dtype=np.float32))
    viewer, found, page = Viewer(UserId("u0000"), Row(0)), list[Any](), Cursor(owner_of("u0000", "web"))
    for number in range(1, 11):
        answer = responses.from_block(
            Query(viewer.user_id, 100, "web", (), (), page), version, viewer, block, Trace(), fail
        )
        assert answer is not None
        found += orjson.loads(b"[%b]" % answer.entries)
        assert (answer.next is None) == (number == 10)
        page = Cursor.unpack(answer.next) if answer.next else page
    assert len({one["user_id"] for one in found}) == len(found) == MOST_SHOWN
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)
