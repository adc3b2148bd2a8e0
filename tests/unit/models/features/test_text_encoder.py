"""A text model that cannot be had is refused by name, before anything is computed."""

import importlib.util

import pytest

from models.errors import UsageError
from models.features.profile_encoder import ProfileEncoder
from models.schema.profiles import Profiles, TextColumn

PEOPLE = Profiles(2, {"about": TextColumn(["builds bridges", None])})


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is not None, reason="the extra is installed")
def test_a_text_model_without_the_extra_names_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"text_model 'some/model' needs the extra: pip install 'pymk\[text\]'"):
        ProfileEncoder.fit(PEOPLE, "some/model")


def test_without_a_model_words_are_hashed() -> None:
    rows = ProfileEncoder.fit(PEOPLE).encode(PEOPLE)
    assert rows[0].any()
    assert not rows[1].any()
