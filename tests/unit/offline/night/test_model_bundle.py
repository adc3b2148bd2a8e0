"""A model bundle is read back as it was saved, whole or not at all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import ArtefactError
from models.features.profile_encoder import ProfileEncoder
from models.features.towers import TowerShape
from models.live_state.erased_ids import ErasedPeople
from models.networks.config import GraphSageConfig
from models.networks.graphsage import GraphSage
from models.networks.ranker_head import RankerHead, RankerHeadConfig
from models.ranker.ranker import Ranker
from models.schema.pair_features import EXTRA_INPUTS, PAIR_FEATURES
from models.schema.profiles import CategoricalColumn, Profiles
from models.schema.statistic_names import STATISTICS
from models.schema.vocabulary import Vocabulary
from offline.night.model_bundle import FALLBACK_CALIBRATION, ModelBundle, Training

PEOPLE = ("ann", "bea", "cid", "dan")
PROFILES = Profiles(4, {"team": CategoricalColumn(np.array([0, 1, 1, -1], np.int32), ["blue", "red"])})


def bundle(*, ranked: bool = True) -> ModelBundle:
    torch.manual_seed(0)
    tower = RankerHead(
        RankerHeadConfig(
            pair_features=PAIR_FEATURES,
            extra_inputs=len(EXTRA_INPUTS),
            viewer_inputs=len(STATISTICS),
        )
    )
    return ModelBundle(
        encoder=ProfileEncoder.fit(PROFILES),
        embedder=GraphSage(GraphSageConfig(inputs=6, hidden=5, outputs=4)),
        ranker=tower if ranked else None,
        prerank_weights=np.arange(len(PAIR_FEATURES) + 1, dtype=np.float32),
        spectral=np.arange(8, dtype=np.float32).reshape(4, 2),
        vocabulary=Vocabulary.from_ids(PEOPLE),
        training=Training(
            trained_at=datetime(2026, 1, 1, tzinfo=UTC),
            users=100,
            connections=500,
            metrics={"a": 0.5},
            towers=TowerShape(dimensions=7),
        ),
    )


def test_what_is_read_again_is_what_was_kept(tmp_path: Path) -> None:
    kept = bundle()
    kept.save(tmp_path)
    again = ModelBundle.open(tmp_path)
    assert again.training == kept.training
    assert again.vocabulary.user_ids() == list(PEOPLE)
    np.testing.assert_array_equal(again.prerank_weights, kept.prerank_weights)
    np.testing.assert_array_equal(again.spectral, kept.spectral)
    np.testing.assert_array_equal(again.encoder.encode(PROFILES), kept.encoder.encode(PROFILES))
    assert again.ranker is not None
    assert kept.ranker is not None
    for first, second in ((again.embedder, kept.embedder), (again.ranker, kept.ranker)):
        assert not first.training
        assert all(torch.equal(first.state_dict()[name], tensor) for name, tensor in second.state_dict().items())
    again.save(tmp_path / "again")
    assert ModelBundle.open(tmp_path / "again").training == kept.training


def test_without_a_ranker_resource_allocation_is_what_the_service_opens(tmp_path: Path) -> None:
    bundle(ranked=False).save(tmp_path)
    assert ModelBundle.open(tmp_path).ranker is None
    ranker = Ranker.open(tmp_path / "model")
    # one mutual friend who has ten friends, and ten of them
    one, ten = ranker.calibrated(np.log1p([100, 1000]).astype(np.float32), 0.0)
    assert FALLBACK_CALIBRATION[0] > 0
    assert one == pytest.approx(0.012, abs=0.001)
    assert ten == pytest.approx(0.11, abs=0.005)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("learnt")
    bundle().save(directory)
    return directory


NAMES = (
    "learnt/cheap.npy",
    "learnt/graphsage.json",
    "learnt/graphsage.safetensors",
    "learnt/profile_encoder.json",
    "learnt/profile_encoder.safetensors",
    "learnt/spectral.npy",
    "learnt/training.json",
    "learnt/vocabulary.bin",
    "learnt/vocabulary_offsets.npy",
    "model/ranker.json",
    "model/ranker.safetensors",
)


def test_these_are_all_files(written: Path) -> None:
    assert sorted(path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_missing_or_cut_short_is_refused_by_name(written: Path, name: str) -> None:
    path = written / name
    content = path.read_bytes()
    try:
        for length in (len(content) - 1, len(content) // 2, 0, None):
            path.unlink() if length is None else path.write_bytes(content[:length])
            with pytest.raises(ArtefactError, match=path.name.replace(".", r"\.")):
                ModelBundle.open(written)
    finally:
        path.write_bytes(content)


def test_weights_of_another_release_are_refused(written: Path, tmp_path: Path) -> None:
    kept = bundle()
    other = ModelBundle(
        **{
            **{name: getattr(kept, name) for name in kept.__dataclass_fields__},
            "prerank_weights": kept.prerank_weights[:-1],
        }
    )
    other.save(tmp_path)
    with pytest.raises(ArtefactError, match=r"cheap\.npy"):
        ModelBundle.open(tmp_path)


def test_rows_of_another_night_are_found_by_id() -> None:
    kept = bundle()
    same = kept.reference(Vocabulary.from_ids(PEOPLE))
    assert same.mine.tolist() == same.theirs.tolist() == [0, 1, 2, 3]
    other = kept.reference(Vocabulary.from_ids(["dan", "abe", "cid", "zoe"]))  # abe, cid, dan, zoe
    assert (other.mine.tolist(), other.theirs.tolist()) == ([1, 2], [2, 3])
    assert other.spectral is kept.spectral
    strangers = kept.reference(Vocabulary.from_ids(["zoe"]))
    assert (strangers.mine.tolist(), strangers.theirs.tolist()) == ([], [])


def test_who_was_erased_since_is_in_it_no_more() -> None:
    kept, trained_at_us = bundle(), int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 10**6
    nobody = ErasedPeople.nobody()
    assert kept.without(nobody, PROFILES) is kept
    assert kept.without(nobody.joined({"bea": trained_at_us}), PROFILES) is kept, "who has the id came back before"
    left = kept.without(nobody.joined({"bea": trained_at_us + 1, "zoe": trained_at_us + 1}), PROFILES)
    assert left.vocabulary.user_ids() == ["ann", "cid", "dan"]
    assert left.spectral.tolist() == [[0, 1], [4, 5], [6, 7]]
    assert left.reference(Vocabulary.from_ids(["bea", "cid"])).theirs.tolist() == [1]


def test_training_is_due_by_age_and_by_growth() -> None:
    kept, moment = bundle(), datetime(2026, 1, 1, tzinfo=UTC)
    due = {"days": 7, "growth": 0.2}
    assert kept.is_due(moment + timedelta(days=6.9), 120, 600, **due) is None
    assert "7.1 days old" in str(kept.is_due(moment + timedelta(days=7.1), 100, 500, **due))
    assert "users grew from 100 to 121" in str(kept.is_due(moment, 121, 500, **due))
    assert "friendships grew from 500 to 601" in str(kept.is_due(moment, 100, 601, **due))
