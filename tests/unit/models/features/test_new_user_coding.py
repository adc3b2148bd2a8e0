"""What the worker computes for one new user is what the night computes for all, whatever the size of the columns."""

import numpy as np

from models.features.profile_codes import CELL_DEGREES, ColumnCoding, ProfileCoder
from models.features.profile_encoder import DIMENSIONS, ProfileEncoder
from models.kernels.profile_affinity import MISSING
from models.schema.profiles import CategoricalColumn, LocationColumn, Profiles, one_profile

PLACES = [(-90.0, -180.0), (-90.0, 180.0), (-0.05, -0.05), (0.0, 0.0), (0.05, -180.0), (52.5, 13.4), (90.0, 180.0)]


def test_a_location_has_the_code_of_its_cell_wherever_it_lies() -> None:
    degrees = np.array([*PLACES, (np.nan, np.nan)], np.float32)
    profiles = Profiles(len(degrees), {"home": LocationColumn(degrees)})
    coder = ProfileCoder.fit(profiles)
    cells = np.floor(degrees[:-1].astype(np.float64) / CELL_DEGREES).astype(np.int64).tolist()
    fitted = coder.columns["home"].arrays["cells"].tolist()
    expected = [*(fitted.index(cell) for cell in cells), MISSING]
    assert coder.coded(profiles).codes[:, 0].tolist() == expected
    for place, code in zip(PLACES, expected, strict=False):
        alone = one_profile({"home": "LocationColumn"}, {"home": f"{place[0]},{place[1]}"})
        assert coder.coded(alone).codes[0, 0] == code
    for elsewhere in ("0.15,0.0", "-0.05,0.0", "89.9,180"):
        assert coder.coded(one_profile({"home": "LocationColumn"}, {"home": elsewhere})).codes[0, 0] == MISSING


def test_a_column_without_locations_has_no_cells() -> None:
    coder = ProfileCoder({"home": ColumnCoding("LocationColumn", [], {"cells": np.zeros((0, 2), np.int64)})})
    assert coder.coded(one_profile({"home": "LocationColumn"}, {"home": "1,1"})).codes[0, 0] == MISSING


def test_one_user_is_encoded_as_among_all_with_more_values_than_columns_are_kept() -> None:
    values = [f"{number:04d}" for number in range(2 * DIMENSIONS)]
    codes = np.arange(3 * len(values), dtype=np.int32) % len(values)
    profiles = Profiles(len(codes), {"team": CategoricalColumn(codes, values)})
    encoder = ProfileEncoder.fit(profiles)
    every = encoder.encode(profiles)
    assert every.shape == (len(codes), DIMENSIONS)
    for row in (0, len(values) - 1, len(codes) - 1):
        alone = encoder.encode(one_profile({"team": "CategoricalColumn"}, {"team": values[codes[row]]}))
        assert alone[0].tolist() == every[row].tolist()
    assert not encoder.encode(one_profile({"team": "CategoricalColumn"}, {"team": "never seen"})).any()
