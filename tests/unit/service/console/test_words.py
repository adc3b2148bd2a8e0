"""The console has words for everything that answers name by code."""

import re
from importlib.resources import files

import pytest

from models.schema.candidate_sources import Source
from models.schema.pair_features import PAIR_FEATURES, extra_input_names
from models.schema.statistic_names import ALL_STATISTICS
from service.ranking.filters import Rule

WORDS = (files("service.console") / "page" / "words.js").read_text(encoding="utf-8")


def names(flags: type[Rule] | type[Source]) -> set[str]:
    return {str(flag.name).lower() for flag in flags}


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        ("SOURCES", names(Source)),
        ("RULES", names(Rule)),
        ("FEATURES", {*PAIR_FEATURES, *extra_input_names(len(ALL_STATISTICS))}),
    ],
)
def test_every_code_has_words(table: str, codes: set[str]) -> None:
    body = re.search(rf"const {table} = {{\n(.*?)\n}};", WORDS, re.DOTALL)
    assert body is not None
    assert codes <= set(re.findall(r"^  (\w+):", body[1], re.MULTILINE))
