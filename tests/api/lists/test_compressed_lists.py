"""Large answers are compressed for clients that accept gzip, and are the same answers."""

from typing import Any

import pytest

from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

PATH = "/pymk/recommendations"


async def asked(service: ApiHarness, method: str, **headers: str) -> Any:
    sent = {"params": {"user_id": "cid"}} if method == "GET" else {"json": {"user_ids": ["cid", "ann"] * 50}}
    return await service.client.request(method, PATH, headers={"Accept-Encoding": "identity", **headers}, **sent)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_above_the_size_is_compressed_if_the_client_accepts_it(open_place: Any, method: str) -> None:
    async with open_place(compress_above_bytes=200) as service:
        await asked(service, method)
        await service.parts.cache_writer.flush()
        plain = await asked(service, method, **{"X-Request-Id": "one"})
        assert "content-encoding" not in plain.headers
        packed = await asked(service, method, **{"X-Request-Id": "one", "Accept-Encoding": "br, gzip"})
        assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "accept-encoding")
        assert packed.headers["content-type"] == plain.headers["content-type"] == "application/json"
        assert len(packed.headers.get_list("content-length")) == 1
        assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
        assert packed.json() == plain.json()


@pytest.mark.parametrize(("above", "is_compressed"), [(0, False), (1 << 20, False), (1 << 14, True)])
async def test_the_size_is_a_setting(open_place: Any, above: int, is_compressed: bool) -> None:
    async with open_place(compress_above_bytes=above) as service:
        answer = await asked(service, "POST", **{"Accept-Encoding": "gzip"})
        assert len(answer.content) > 1 << 14
        assert ("content-encoding" in answer.headers) is is_compressed
        assert "content-encoding" not in (await asked(service, "GET", **{"Accept-Encoding": "gzip"})).headers
