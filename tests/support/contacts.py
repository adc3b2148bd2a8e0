"""What the worker does with contacts, in tests that run none."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from models.contacts.matching import Matcher
from models.event_log.archive.archive import Archive
from models.event_log.event import CONTACTS, ERASE, Entry
from models.event_log.log_consumer import LogConsumer
from models.store.keys import SHARDS, Keys, shard_of
from offline.contacts.uploads import read_uploads
from tests.support.api import ApiHarness


def hash_of(address: str) -> str:
    """What a caller sends for an address that is normalised already."""
    return hashlib.sha256(address.encode()).hexdigest()


def of(*names: str) -> list[str]:
    """The hashes of people's addresses, by the names of the people."""
    return [hash_of(f"{name}@example.org") for name in names]


def match(service: ApiHarness) -> None:
    """Processes the log as the worker does."""
    matcher = Matcher(service.store, service.keys)

    def on_entries(entries: Sequence[Entry]) -> None:
        matcher.match_all(one.user_id for one in entries if one.kind in (CONTACTS, ERASE))

    consumer = LogConsumer(service.store, service.keys, Archive(service.home), on_entries)
    for shard in range(SHARDS):
        while consumer.run_once(shard):
            pass


async def upload(service: ApiHarness, user_id: str, *contacts: str, own: bool = False) -> None:
    """Puts people into somebody's contacts, and with `own` the own address too; the worker has matched them."""
    body = {"contacts": of(*contacts)} | ({"own": of(user_id)} if own else {})
    answer = await service.client.put(f"/pymk/users/{user_id}/contacts", json=body)
    assert answer.status_code == 202, answer.text
    match(service)


async def join(service: ApiHarness, *people: str) -> None:
    """Registers people with their own addresses and without contacts."""
    for user_id in people:
        answer = await service.client.put(f"/pymk/users/{user_id}/contacts", json={"own": of(user_id)})
        assert answer.status_code == 202, answer.text
    match(service)


def keys_of_uploads(keys: Keys, dataset: Path) -> set[str]:
    """What a night leaves of a dataset's address books: the records, and the log that a worker matches them from."""
    uploads = read_uploads(dataset)
    assert uploads is not None
    people = {*uploads.contacts, *uploads.own}
    return {keys.contacts_key} | {key for one in people for key in (keys.contacts(one), keys.log(shard_of(one)))}
