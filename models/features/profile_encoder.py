"""Encodes profiles as dense vectors for the networks."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils.extmath import randomized_svd

from models.errors import ArtefactError
from models.features.text_encoder import sentence_vectors
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
from models.system import files

DIMENSIONS = 64
"""most columns of a dense row"""
QUANTILES = 64
"""quantiles for numbers and timestamps"""
HASHED_WORDS = 1 << 14
"""hash buckets for words of texts"""

ARRAYS = "profile_encoder.safetensors"
DESCRIPTION = "profile_encoder.json"

Sparse = csr_array


def encoded_columns(profiles: Profiles, text_model: str | None = None) -> dict[str, str]:
    """By column, the part of a ProfileEncoder that an encoder of these profiles would encode it with."""
    return {name: _encoded_with(column, text_model) for name, column in profiles.columns.items()}


def _encoded_with(column: Column, text_model: str | None) -> str:
    match column:
        case CategoricalColumn() | MultiColumn():
            return "weights"
        case NumericColumn() | TimestampColumn():
            return "quantiles"
        case TextColumn():
            return "words" if text_model is None else "sentences"
        case LocationColumn():
            return "sphere"


class ProfileEncoder:
    """Encodes profiles as dense rows (n, width) float32, of the users it was fitted on and of others.

    A category or set value is an indicator weighted by its rarity ln(n / users), divided by the root of how many the
    user has. A number or timestamp is its quantile, scaled to -1 to 1. A location is a point on the unit sphere. A text
    is the hashed TF-IDF of its words, or its vector by the sentence-transformers model `text_model`. If there are more
    than DIMENSIONS columns, truncated SVD reduces them (Halko and others 2011). Missing and unknown values are zero.
    """

    def __init__(
        self, values: dict[str, list[str]], arrays: dict[str, NDArray[Any]], text_model: str | None = None
    ) -> None:
        self.text_model = text_model
        self._values = values
        """by categorical or multi column, the values in the order of their indicators"""
        self._arrays = arrays
        """by `column/part`, `weights` of indicators, of `words` or `sentences`, `quantiles` of numbers, the `sphere` of
        places; and `reduction` (width, columns)"""

    @classmethod
    def fit(cls, profiles: Profiles, text_model: str | None = None) -> "ProfileEncoder":
        """The encoder of these users' columns. Raises UsageError if a text model is named but unavailable."""
        values: dict[str, list[str]] = {}
        arrays: dict[str, NDArray[Any]] = {}
        for name, column in profiles.columns.items():
            match column:
                case CategoricalColumn() | MultiColumn():
                    values[name] = list(column.values)
                    codes = column.codes[column.codes >= 0]
                    arrays[f"{name}/weights"] = _rarity(np.bincount(codes, minlength=len(column.values)), profiles.n)
                case NumericColumn() | TimestampColumn():
                    numbers = _numbers(column)
                    known = numbers[~np.isnan(numbers)]
                    steps = np.linspace(0, 1, QUANTILES)
                    arrays[f"{name}/quantiles"] = np.quantile(known, steps) if len(known) else np.zeros(0)
                case TextColumn() if text_model is not None:
                    arrays[f"{name}/sentences"] = np.ones(sentence_vectors([None], text_model).shape[1], np.float32)
                case TextColumn():
                    people = np.bincount(_words(column).indices, minlength=HASHED_WORDS)
                    arrays[f"{name}/words"] = _rarity(people, profiles.n)
                case LocationColumn():
                    arrays[f"{name}/sphere"] = np.ones(1, np.float32)
        encoder = cls(values, arrays, text_model)
        sparse = encoder._sparse(profiles)
        if sparse.shape[1] > DIMENSIONS:
            width = min(DIMENSIONS, profiles.n - 1)
            if width >= 1 and sparse.nnz:
                arrays["reduction"] = _reduction(sparse, width)
            else:
                arrays["reduction"] = np.zeros((1, sparse.shape[1]), np.float32)
        return encoder

    def encode(self, profiles: Profiles) -> NDArray[np.float32]:
        """(n, width) float32 of these users; columns that are not fitted, or of another kind, are ignored."""
        sparse = self._sparse(profiles)
        if "reduction" not in self._arrays:
            return np.asarray(sparse.todense(), dtype=np.float32)
        reduction = self._arrays["reduction"]
        if sparse.nnz < sparse.shape[1]:  # few users: the product would copy the whole reduction
            used, places = np.unique(sparse.indices, return_inverse=True)
            sparse = csr_array((sparse.data, places, sparse.indptr), shape=(profiles.n, len(used)))
            reduction = reduction[:, used]
        return np.asarray(sparse @ reduction.T, dtype=np.float32)

    def restricted_to(self, profiles: Profiles) -> "ProfileEncoder":
        """This encoder without the values that none of these users holds; the others are encoded as before."""
        held = {
            name: set(column.values)
            for name, column in profiles.columns.items()
            if isinstance(column, CategoricalColumn | MultiColumn)
        }
        values = {
            name: [value if value in held.get(name, ()) else "" for value in known]
            for name, known in self._values.items()
        }
        return ProfileEncoder(values, self._arrays, self.text_model)

    @cached_property
    def _index_of(self) -> dict[str, dict[str, int]]:
        """The index of each value by column, cached, since new users are encoded one by one."""
        return {name: {value: place for place, value in enumerate(values)} for name, values in self._values.items()}

    @property
    def columns(self) -> dict[str, str]:
        """By fitted column, the part that its kind is encoded with: as `encoded_columns` has it."""
        return {column: part for column, _, part in (name.rpartition("/") for name in self._arrays) if column}

    @property
    def width(self) -> int:
        """The number of columns of a dense row."""
        if "reduction" in self._arrays:
            return len(self._arrays["reduction"])
        return sum(_indicators(name, array) for name, array in self._arrays.items())

    def save(self, directory: Path) -> None:
        """Writes profile_encoder.safetensors and .json."""
        directory.mkdir(parents=True, exist_ok=True)
        content = save({name: np.ascontiguousarray(array) for name, array in self._arrays.items()})
        digest = hashlib.sha256(content).hexdigest()
        files.write_bytes(directory / ARRAYS, content)
        files.write_json(
            directory / DESCRIPTION,
            {"values": self._values, "arrays": list(self._arrays), "text_model": self.text_model, "sha256": digest},
        )

    @classmethod
    def open(cls, directory: Path) -> "ProfileEncoder":
        """A saved encoder. Raises ArtefactError with the file that is missing, truncated or altered."""
        path = directory / DESCRIPTION
        written, content = files.read_json(path), files.read_bytes(directory / ARRAYS)
        try:
            if hashlib.sha256(content).hexdigest() != written["sha256"]:
                raise ArtefactError(f"{directory / ARRAYS} is truncated or altered: its digest is not that of {path}")
            arrays = load(content)
            return cls(written["values"], {name: arrays[name] for name in written["arrays"]}, written["text_model"])
        except (KeyError, TypeError, SafetensorError) as error:
            raise ArtefactError(f"{path} is truncated or altered: {error!r}") from error

    def _sparse(self, profiles: Profiles) -> Sparse:
        """(n, columns) of all fitted columns side by side, in the order of fitting."""
        parts: list[Any] = [csr_array((profiles.n, 0), dtype=np.float32)]
        for key, array in self._arrays.items():
            name, _, part = key.rpartition("/")
            if key == "reduction":
                continue
            column = profiles.columns.get(name)
            if column is None or _part(column, self.text_model) != part:
                parts.append(csr_array((profiles.n, _indicators(key, array)), dtype=np.float32))
            else:
                parts.append(self._encode(name, column, array))
        return csr_array(hstack(parts, format="csr"))

    def _encode(self, name: str, column: Column, fitted: NDArray[Any]) -> Sparse:
        match column:
            case CategoricalColumn(codes, values):
                counts = (codes >= 0).astype(np.int64)
                return self._indicate(name, codes[codes >= 0], counts, values, fitted)
            case MultiColumn(indptr, codes, values):
                return self._indicate(name, codes, np.diff(indptr), values, fitted)
            case NumericColumn() | TimestampColumn():
                numbers = _numbers(column)
                place = np.searchsorted(fitted, numbers) / max(len(fitted), 1) * 2 - 1
                placed = ~np.isnan(numbers) & (len(fitted) > 0)
                return csr_array(np.where(placed, place, 0)[:, None].astype(np.float32))
            case LocationColumn(degrees):
                return csr_array(sphere(degrees))
            case TextColumn(texts) if self.text_model is not None:
                return csr_array(sentence_vectors(texts, self.text_model))
            case TextColumn():
                words = _words(column)
                weighted = words.multiply(fitted[None, :]).tocsr()
                length = np.sqrt(weighted.multiply(weighted).sum(axis=1))
                return csr_array(weighted.multiply(1 / np.maximum(length, 1e-9)[:, None]))

    def _indicate(
        self, name: str, codes: NDArray[np.int32], counts: NDArray[np.int64], values: Any, weights: NDArray[Any]
    ) -> Sparse:
        """Weighted indicators (n, fitted values) of codes sorted by user, `counts` (n,) of each."""
        at = self._index_of[name]
        place = np.array([at.get(value, -1) for value in values] or [-1], dtype=np.int64)[codes]
        owner = np.repeat(np.arange(len(counts)), counts)
        share = 1 / np.sqrt(counts[owner])
        known = place >= 0
        data = (weights[place[known]] * share[known]).astype(np.float32)
        return csr_array((data, (owner[known], place[known])), shape=(len(counts), len(weights)))


def sphere(degrees: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, 3) float32 points on the unit sphere of (n, 2) latitudes and longitudes in degrees; zero if missing."""
    latitude, longitude = np.radians(degrees.astype(np.float64)).T
    across = np.cos(latitude)
    points = np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=1)
    return np.asarray(np.nan_to_num(points), dtype=np.float32)


@dataclass(frozen=True)
class TextBasis:
    """Unit vectors of texts for comparing two users: hashed TF-IDF, reduced by SVD."""

    weights: NDArray[np.float32]
    """(HASHED_WORDS,) rarity of each word"""
    components: NDArray[np.float32]
    """(d, HASHED_WORDS)"""

    @classmethod
    def fit(cls, column: TextColumn, dimensions: int = 32) -> "TextBasis":
        """The basis fitted to these texts, of at most `dimensions`."""
        words = _words(column)
        rarity = _rarity(np.bincount(words.indices, minlength=HASHED_WORDS), len(column.texts))
        weighted = csr_array(words.multiply(rarity))
        width = min(dimensions, len(column.texts) - 1)
        if width < 1 or not weighted.nnz:
            return cls(rarity, np.zeros((1, HASHED_WORDS), np.float32))
        return cls(rarity, _reduction(weighted, width))

    def vectors(self, column: TextColumn) -> NDArray[np.float32]:
        """(n, d) float32 of n texts; zero if missing or without a known word."""
        dense = csr_array(_words(column).multiply(self.weights)) @ self.components.T
        length = np.linalg.norm(dense, axis=1, keepdims=True)
        unit: NDArray[np.float32] = (dense / np.where(length > 0, length, 1)).astype(np.float32)
        return unit


def _reduction(sparse: Sparse, width: int) -> NDArray[np.float32]:
    _, _, components = randomized_svd(sparse, width, n_iter=4, random_state=0)
    return np.ascontiguousarray(components, dtype=np.float32)


def _words(column: TextColumn) -> Sparse:
    """(n, HASHED_WORDS) indicators of each text's words and pairs of words."""
    if not len(column.texts):
        return csr_array(np.zeros((0, HASHED_WORDS), np.float32))
    vectorizer = HashingVectorizer(
        n_features=HASHED_WORDS, ngram_range=(1, 2), binary=True, norm=None, alternate_sign=False
    )
    return csr_array(vectorizer.transform([text or "" for text in column.texts]).astype(np.float32))


def _rarity(people: NDArray[Any], n: int) -> NDArray[np.float32]:
    """ln(n / users), half a user for a value without one; float32."""
    rarity: NDArray[np.float32] = np.log(max(n, 1) / np.maximum(people, 0.5)).astype(np.float32)
    return rarity


def _numbers(column: NumericColumn | TimestampColumn) -> NDArray[np.float64]:
    return column.numbers if isinstance(column, NumericColumn) else column.seconds


def _part(column: Column, text_model: str | None) -> str:
    """The name of the array fitted to such a column."""
    match column:
        case CategoricalColumn() | MultiColumn():
            return "weights"
        case TextColumn():
            return "words" if text_model is None else "sentences"
        case LocationColumn():
            return "sphere"
        case NumericColumn() | TimestampColumn():
            return "quantiles"


def _indicators(key: str, array: NDArray[Any]) -> int:
    """The number of sparse columns that a fitted array describes."""
    part = key.rpartition("/")[2]
    return {"quantiles": 1, "sphere": 3, "reduction": 0}.get(part, len(array))
