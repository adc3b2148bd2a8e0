"""Identity encodings: sizes, probes, and people who came after the training."""

import torch
from pydantic import TypeAdapter

from models.networks.config import HashConfig, IdentityConfig, LookupConfig, NoIdentityConfig
from models.networks.identity import Hash, Lookup, buckets_for, fitted_identity, identity_of

KEYS = torch.tensor([900, 17, 2**62, 5])
NEW = torch.tensor([18, 2**61, 0])


def test_a_configuration_is_told_by_its_name() -> None:
    read: IdentityConfig = TypeAdapter(IdentityConfig).validate_python({"name": "hash", "probes": 3})
    assert read == HashConfig(probes=3)


def test_no_identity_has_no_columns() -> None:
    assert identity_of(NoIdentityConfig())(KEYS).shape == (4, 0)


def test_a_table_has_a_row_for_everybody_and_the_first_for_the_unknown() -> None:
    config = fitted_identity(LookupConfig(width=3), people=4)
    table = identity_of(config)
    assert isinstance(table, Lookup)
    table.know(KEYS)
    assert table.table.weight.shape == (5, 3)
    assert table.rows(KEYS).tolist() == [3, 2, 4, 1]
    assert table.rows(NEW).tolist() == [0, 0, 0]
    assert torch.equal(table.eval()(NEW), table.table.weight[0].expand(3, 3))
    assert len({tuple(row) for row in table(KEYS).tolist()}) == 4


def test_some_of_the_known_are_taken_for_unknown_in_training() -> None:
    table = Lookup(LookupConfig(width=2, people=1000, unknown_share=0.3))
    table.know(torch.arange(1000))
    torch.manual_seed(0)
    unknown = (table.train()(torch.arange(1000)) == table.table.weight[0]).all(dim=1)
    assert 230 < int(unknown.sum()) < 370
    assert not (table.eval()(torch.arange(1000)) == table.table.weight[0]).all(dim=1).any()


def test_buckets_are_the_next_power_of_two_above_four_times_the_people() -> None:
    assert [buckets_for(people) for people in (1, 3, 4, 1000, 1024)] == [8, 16, 32, 4096, 8192]
    config = fitted_identity(HashConfig(width=5), people=1000)
    table = identity_of(config)
    assert isinstance(table, Hash)
    assert table.table.weight.shape == (4096, 5)


def test_hashing_spreads_everybody_evenly_over_the_whole_table() -> None:
    table = Hash(HashConfig(width=1, buckets=1024, probes=2))
    rows = table.rows(torch.arange(20_000))
    assert rows.shape == (20_000, 2)
    counts = torch.bincount(rows.flatten(), minlength=1024)
    assert len(counts) == 1024
    assert counts.min() > 10
    assert counts.max() < 80
    assert float((rows[:, 0] == rows[:, 1]).float().mean()) < 0.01


def test_newcomers_have_columns_of_their_own_by_hashing() -> None:
    table = Hash(HashConfig(width=4, buckets=4096))
    assert len({tuple(row) for row in table(torch.cat([KEYS, NEW])).tolist()}) == 7


def test_offsets_follow_the_seed_and_come_back_with_the_weights() -> None:
    first, second = Hash(HashConfig(buckets=64, seed=1)), Hash(HashConfig(buckets=64, seed=2))
    assert not torch.equal(first.rows(KEYS), second.rows(KEYS))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.rows(KEYS), second.rows(KEYS))
