"""The keys of one shard share a slot of a cluster, and no setting can break that."""

import pytest
from pydantic import ValidationError
from redis.crc import key_slot

from models.settings import Settings
from models.store.keys import SHARDS, Keys, shard_of

IDS = ("ann", "héloïse/ 🦊", "{x}", "}{", "a" * 128, "1")


def test_all_that_is_written_with_a_person_is_in_one_slot() -> None:
    keys = Keys("my.network-1")
    for user_id in IDS:
        shard = shard_of(user_id)
        together = [
            keys.live(user_id),
            keys.accepted(shard, 7),
            keys.fence(shard),
            keys.people(shard),
            keys.live_profile(user_id),
            keys.log(shard),
        ]
        assert len({key_slot(key.encode()) for key in [*together, keys.archived(shard)]}) == 1
        assert all(key.startswith(keys.shard(shard)) for key in together)
    assert key_slot(keys.hidden_log.encode()) == key_slot(keys.hidden_epoch.encode())


def test_people_spread_over_all_shards_and_stay_there() -> None:
    assert {shard_of(f"u{number}") for number in range(500)} == set(range(SHARDS))
    assert [shard_of(user_id) for user_id in ("ann", "bea", "cid")] == [3, 2, 8]


@pytest.mark.parametrize("namespace", ["{a}", "a{", "a}b"])
def test_a_namespace_has_no_braces(namespace: str) -> None:
    with pytest.raises(ValidationError, match="namespace"):
        Settings(namespace=namespace)
