"""A store that was closed opens no connection for a call that comes late, which nobody would close."""

import pytest

from models.errors import StoreUnavailableError
from models.store.connect import open_async, open_sync

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["embedded", "single", "cluster"])
async def test_it_refuses_every_call(request: pytest.FixtureRequest, name: str) -> None:
    settings = request.getfixturevalue(name)
    store, server = await open_async(settings), open_sync(settings)
    await store.set("{closed}a", b"1")
    assert await store.get("{closed}a") == b"1"
    await store.aclose()
    for call in (
        lambda: store.get("{closed}a"),
        lambda: store.set("{closed}a", b"2"),
        lambda: store.get_many(["{closed}a"] * 100),
        lambda: store.set_many([("{closed}a", b"2"), ("{closed}b", b"2")]),
        store.clock_us,
        store.ping,
        store.info,
    ):
        with pytest.raises(StoreUnavailableError, match="was closed by this process"):
            await call()
    assert server.get("{closed}a") == b"1"
    server.close()
