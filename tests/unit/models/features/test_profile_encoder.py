"""Profiles as rows of numbers: every kind of column, what was never seen, what is missing, and files."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import ArtefactError
from models.features.profile_encoder import (
    DIMENSIONS,
    ProfileEncoder,
    TextBasis,
    sphere,
)
from models.schema.profiles import (
    CategoricalColumn,
    Column,
    LocationColumn,
    MultiColumn,
    NumericColumn,
    Profiles,
    TextColumn,
    TimestampColumn,
)
from tests.support.tables import coded_profiles

NAN = float("nan")


def text_vectors(column: TextColumn) -> np.ndarray:
    return TextBasis.fit(column).vectors(column)


def categorical(codes: list[int], values: list[str]) -> CategoricalColumn:
    return CategoricalColumn(np.array(codes, np.int32), values)


def encoded(column: Column, n: int) -> np.ndarray:
    profiles = Profiles(n, {"column": column})
    return ProfileEncoder.fit(profiles).encode(profiles)


def every_kind() -> Profiles:
    """Four users, the last with an empty profile."""
    return Profiles(
        4,
        {
            "age": NumericColumn(np.array([20, 30, 40, NAN])),
            "bio": TextColumn(["rowing on rivers", "chess and rivers", "bread", None]),
            "clubs": MultiColumn(np.array([0, 2, 3, 3, 3]), np.array([0, 1, 1], np.int32), ["chess", "golf"]),
            "home": LocationColumn(np.array([[52.5, 13.4], [0, 0], [-33.9, 151.2], [NAN, NAN]], np.float32)),
            "since": TimestampColumn(np.array([0, 1e9, 2e9, NAN])),
            "team": categorical([0, 1, 1, -1], ["blue", "red"]),
        },
    )


def test_a_category_is_an_indicator_that_weighs_the_more_the_rarer_it_is() -> None:
    rows = encoded(categorical([0, 1, 1, 1, -1, -1], ["blue", "red"]), 6)
    expected = np.zeros((6, 2))
    expected[0, 0], expected[1:4, 1] = np.log(6), np.log(2)
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


def test_values_of_a_set_share_the_weight_of_a_person() -> None:
    column = MultiColumn(np.array([0, 2, 3, 3]), np.array([0, 1, 1], np.int32), ["chess", "golf"])
    chess, golf = np.log(3), np.log(1.5)
    np.testing.assert_allclose(
        encoded(column, 3), [[chess / 2**0.5, golf / 2**0.5], [0, golf], [0, 0]], rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("kind", [NumericColumn, TimestampColumn])
def test_numbers_and_timestamps_are_encoded_as_quantiles(kind: type) -> None:
    numbers = np.concatenate([np.random.default_rng(0).permutation(1000.0 ** np.linspace(0, 2, 999)), [NAN]])
    rows = encoded(kind(numbers), 1000)
    assert rows.shape == (1000, 1)
    placed = rows[np.argsort(numbers), 0]  # NaN last
    assert (np.diff(placed[:999]) >= 0).all()
    assert placed[999] == 0
    np.testing.assert_allclose(placed[[0, 499, 998]], [-1, 0, 1], atol=0.04)


def test_a_place_is_a_point_on_the_unit_sphere() -> None:
    points = sphere(np.array([[0, 0], [0, 90], [90, 12], [0, 180], [0, -180], [NAN, NAN]], np.float32))
    np.testing.assert_allclose(points, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [-1, 0, 0], [0, 0, 0]], atol=1e-6)
    column = LocationColumn(np.array([[52.5, 13.4], [NAN, NAN]], np.float32))
    np.testing.assert_array_equal(encoded(column, 2), sphere(column.degrees))


def test_texts_of_the_same_words_are_near_and_rare_words_weigh_more() -> None:
    texts = ["we like rowing", "we like rowing", "we like bread", "we like bread", "we like trains", None]
    for rows in (encoded(TextColumn(texts), 6), text_vectors(TextColumn(texts))):
        np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)
        assert rows[0] @ rows[1] == pytest.approx(1, abs=0.01)
        assert rows[0] @ rows[2] < 0.5
        assert not rows[5].any()
    lengths = np.linalg.norm(text_vectors(TextColumn(texts)), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 1, 0], atol=1e-5)


def test_a_text_that_all_users_share_is_zero() -> None:
    assert not encoded(TextColumn(["same words"] * 5), 5).any()
    assert np.isfinite(text_vectors(TextColumn(["same words"] * 5))).all()


def test_all_kinds_are_side_by_side_and_missing_values_are_zero() -> None:
    profiles = every_kind()
    encoder = ProfileEncoder.fit(profiles)
    rows = encoder.encode(profiles)
    assert rows.shape == (4, encoder.width)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert not rows[3].any()
    assert (np.linalg.norm(rows[:3], axis=1) > 1).all()


def test_a_value_that_was_not_there_at_fitting_is_zero() -> None:
    fitted = ProfileEncoder.fit(Profiles(3, {"team": categorical([0, 1, 1], ["blue", "red"])}))
    newcomers = Profiles(3, {"team": categorical([2, 1, 0], ["azure", "blue", "green"])})
    np.testing.assert_allclose(fitted.encode(newcomers), [[0, 0], [np.log(3), 0], [0, 0]], rtol=1e-6)


def test_values_without_users_are_dropped_and_the_others_stay(tmp_path: Path) -> None:
    fitted = ProfileEncoder.fit(Profiles(3, {"team": categorical([0, 1, 2], ["blue", "green", "red"])}))
    left = Profiles(2, {"team": categorical([0, 1], ["blue", "red"])})
    fitted.restricted_to(left).save(tmp_path)
    again = ProfileEncoder.open(tmp_path)
    np.testing.assert_array_equal(again.encode(left), fitted.encode(left))
    back = Profiles(1, {"team": categorical([0], ["green"])})
    assert not again.encode(back).any()
    assert not any(b"green" in path.read_bytes() for path in tmp_path.iterdir())


def test_codes_of_new_users_may_have_another_order() -> None:
    profiles = Profiles(4, {"team": categorical([0, 1, 2, 2], ["blue", "green", "red"])})
    again = Profiles(4, {"team": categorical([2, 1, 3, 3], ["azure", "green", "navy", "red"])})
    fitted = ProfileEncoder.fit(profiles)
    np.testing.assert_array_equal(fitted.encode(profiles)[1:], fitted.encode(again)[1:])


def test_a_column_that_is_gone_or_new_or_of_another_kind_leaves_the_others_where_they_were() -> None:
    profiles = every_kind()
    fitted = ProfileEncoder.fit(
        Profiles(4, {name: column for name, column in profiles.columns.items() if name != "bio"})
    )
    whole = fitted.encode(profiles)
    team = fitted.encode(Profiles(4, {"team": profiles.columns["team"]}))
    np.testing.assert_array_equal(team[:, -2:], whole[:, -2:])
    assert not team[:, :-2].any()
    others: list[Column] = list(profiles.columns.values())
    for name, column in profiles.columns.items():
        if name == "bio":
            continue
        for other in others:
            rows = fitted.encode(Profiles(4, {**profiles.columns, name: other}))
            assert rows.shape == whole.shape
            assert np.isfinite(rows).all()
            if {type(other), type(column)} in ({NumericColumn, TextColumn}, {LocationColumn, CategoricalColumn}):
                changed = (rows != whole).any(axis=0)
                alone = fitted.encode(Profiles(4, {name: column})).any(axis=0)
                np.testing.assert_array_equal(changed, alone)


def test_a_number_is_zero_if_no_user_had_one_at_fitting() -> None:
    fitted = ProfileEncoder.fit(Profiles(2, {"age": NumericColumn(np.full(2, NAN))}))
    assert fitted.encode(Profiles(1, {"age": NumericColumn(np.array([33.0]))})).tolist() == [[0]]


def test_many_columns_are_reduced_and_keep_who_is_like_whom() -> None:
    n = 400
    group = np.arange(n) % 80
    profiles = Profiles(n, {name: categorical(group.tolist(), [f"{one:02}" for one in range(80)]) for name in "ab"})
    encoder = ProfileEncoder.fit(profiles)
    rows = encoder.encode(profiles)
    assert rows.shape == (n, DIMENSIONS) == (n, encoder.width)
    np.testing.assert_allclose(rows[:80], rows[80:160], atol=1e-5)
    np.testing.assert_array_equal(rows, ProfileEncoder.fit(profiles).encode(profiles))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_people_are_encoded_too(n: int) -> None:
    kinds = every_kind()
    one = np.arange(n + 1)
    profiles = Profiles(
        n,
        {
            "age": NumericColumn(np.ones(n)),
            "bio": TextColumn(["words of hers"] * n),
            "clubs": MultiColumn(one, np.zeros(n, np.int32), ["chess"]),
            "home": LocationColumn(np.ones((n, 2), np.float32)),
            "team": categorical([0] * n, ["blue"]),
        },
    )
    encoder = ProfileEncoder.fit(profiles)
    assert encoder.encode(profiles).shape == (n, encoder.width)
    assert encoder.encode(kinds).shape == (4, encoder.width)


def test_without_columns_a_row_is_empty() -> None:
    encoder = ProfileEncoder.fit(Profiles(3))
    assert encoder.width == 0
    assert encoder.encode(Profiles(3)).shape == (3, 0)


@pytest.mark.parametrize("reduced", [False, True])
def test_a_saved_encoder_encodes_alike(tmp_path: Path, reduced: bool) -> None:
    profiles = every_kind()
    if not reduced:
        profiles = Profiles(4, {name: one for name, one in profiles.columns.items() if name != "bio"})
    encoder = ProfileEncoder.fit(profiles)
    encoder.save(tmp_path)
    opened = ProfileEncoder.open(tmp_path)
    assert opened.width == encoder.width
    np.testing.assert_array_equal(opened.encode(profiles), encoder.encode(profiles))


@pytest.mark.parametrize("name", ["profile_encoder.safetensors", "profile_encoder.json"])
def test_missing_truncated_and_altered_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    ProfileEncoder.fit(every_kind()).save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"[]", content[:-3] + b"}}}"):
        path.write_bytes(damaged)
        with pytest.raises(ArtefactError, match=name):
            ProfileEncoder.open(tmp_path)
    path.unlink()
    with pytest.raises(ArtefactError, match=name):
        ProfileEncoder.open(tmp_path)


def test_people_nearby_share_a_cell_and_the_placeless_none() -> None:
    places = np.array([[52.51, 13.41], [52.58, 13.49], [52.61, 13.41], [np.nan, np.nan]], np.float32)
    coded = coded_profiles(Profiles(4, {"home": LocationColumn(places)}))
    assert coded.codes[:, 0].tolist() == [0, 0, 1, -1]
    assert coded.cardinality.tolist() == [2]
