"""Profiles that are put, and people who are erased, over HTTP."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from models.erasure.purge import purge_once
from models.errors import StoreRefusedError
from models.live_state.visibility import HiddenSet, follow_blocking, number_of
from models.store.transaction import Outcome
from models.system.clock import now_us
from models.version.local_versions import Versions
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

AWKWARD = ["a/b", "a b", "🦊", "x" * 128, "%2F", "a/why/b", "a?b", "a;b", "a#b", "é" * 64]


def path(user_id: str) -> str:
    return "/pymk/users/" + quote(user_id, safe="")


async def profile_of(service: ApiHarness, user_id: str) -> Any:
    answer = await service.client.get(path(user_id))
    return answer.json() if answer.status_code == 200 else answer.status_code


async def put(service: ApiHarness, user_id: str, **columns: Any) -> None:
    answer = await service.client.put(path(user_id), json=columns)
    assert (answer.status_code, answer.json()) == (202, {"accepted": len(columns)}), answer.text


async def erase(service: ApiHarness, user_id: str) -> str:
    answer = await service.client.delete(path(user_id))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["receipt"])


class TestPut:
    async def test_only_the_named_columns_change(self, service: ApiHarness) -> None:
        await put(service, "ann", company="Bolt", genres=["jazz", "folk", "jazz"], active=True)
        assert await profile_of(service, "ann") == {
            "name": "Ann",
            "company": "Bolt",
            "genres": ["folk", "jazz"],
            "active": True,
        }
        await put(service, "ann", company=None, name=None)
        assert await profile_of(service, "ann") == {"genres": ["folk", "jazz"], "active": True}
        await put(service, "ann")
        assert await profile_of(service, "bea") == {"name": "Bea", "company": "Acme"}

    @pytest.mark.parametrize("user_id", AWKWARD)
    async def test_a_new_person_of_any_id(self, service: ApiHarness, user_id: str) -> None:
        assert await profile_of(service, user_id) == 404
        await put(service, user_id, name="New", created_at=1_700_000_000)
        assert await profile_of(service, user_id) == {"name": "New", "created_at": "2023-11-14T22:13:20Z"}
        receipt = await erase(service, user_id)
        assert await profile_of(service, user_id) == 404
        assert (await service.client.get(f"/pymk/erasures/{receipt}")).json()["state"] == "hidden"
        await put(service, user_id)
        assert await profile_of(service, user_id) == {}
        why = await service.client.get(f"{path(user_id)}/why/{quote(user_id, safe='')}")
        assert (why.status_code, why.json()["rules"]) == (200, ["self", "newcomer"])

    async def test_flags_reach_everybody(self, service: ApiHarness) -> None:
        await put(service, "bea", discoverable=False, connections_visible=False)
        await put(service, "bea", connections_visible=None)
        hidden = HiddenSet()
        follow_blocking(service.store, service.keys, hidden)
        assert hidden.over("bea", 7, 0) == 6
        assert number_of(hidden.epoch) == 2

    @pytest.mark.parametrize(
        ("body", "named"),
        [
            (b"{", ""),
            (b"[]", ""),
            (b"null", ""),
            (b"", ""),
            (b'{"name":"\xff"}', ""),
            (b'{"name":"\\ud800"}', ""),
            (b'{"company":' * 2000 + b"1" + b"}" * 2000, ""),
            (b'{"company":' * 100 + b"1" + b"}" * 100, "company"),
            (b'{"nobody":1}', "nobody"),
            (b'{"user_id":"bea"}', "user_id"),
            (b'{"company":3}', "company"),
            (b'{"company":["Acme"]}', "company"),
            (b'{"genres":"jazz"}', "genres"),
            (b'{"genres":["jazz",null]}', "genres"),
            (b'{"active":1}', "active"),
            (b'{"discoverable":"false"}', "discoverable"),
            (b'{"name":true}', "name"),
            (b'{"name":""}', "name"),
            (b'{"company":"a\\nb"}', "company"),
            (b'{"genres":["a\\u0000"]}', "genres"),
            (b'{"discoverable":true,"discoverable":false}', "discoverable"),
            (b'{"discoverable" : true, "discover\\u0061ble":false}', "discoverable"),
            (b'{"company":"%b"}' % (b"x" * 1001), "company"),
            (b'{"created_at":"yesterday"}', "created_at"),
            (b'{"created_at":1e300}', "created_at"),
            (b'{"created_at":17000000000}', "created_at"),
            (b'{"company":"Acme","active":"no","x":1}', "active"),
        ],
    )
    async def test_bad_input_is_a_422_that_names_it_and_changes_nothing(
        self, service: ApiHarness, body: bytes, named: str
    ) -> None:
        before = dict(service.store._stored)
        answer = await service.client.put(path("ann"), content=body)
        assert answer.status_code == 422, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        errors = answer.json()["errors"]
        assert (errors[0]["parameter"], errors[0]["in"]) == (named, "body")
        assert {key for key in service.store._stored if ":process:" not in key} == {
            key for key in before if ":process:" not in key
        }
        assert await profile_of(service, "ann") == {"name": "Ann", "company": "Acme"}

    async def test_an_answer_names_some_faults_of_many(self, service: ApiHarness) -> None:
        answer = await service.client.put(path("ann"), json={f"c{number}": 1 for number in range(1000)})
        assert (answer.status_code, len(answer.json()["errors"])) == (422, 20)

    @pytest.mark.parametrize("segment", ["%00", "x" * 129, "%FF", "%2E%2E"])
    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    async def test_an_impossible_id_is_a_422(self, service: ApiHarness, method: str, segment: str) -> None:
        answer = await service.client.request(method, f"/pymk/users/{segment}", content=b"{}")
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "user_id")

    async def test_a_large_body_is_a_413(self, open_place: Any) -> None:
        async with open_place(max_body_bytes=1024) as service:
            answer = await service.client.put(path("ann"), json={"name": "x" * 2000})
            assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
            assert await profile_of(service, "ann") == {"name": "Ann", "company": "Acme"}

    async def test_what_the_store_does_not_take_is_not_accepted(
        self, service: ApiHarness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(commits: Any, wait_s: float | None = None) -> list[Outcome]:
            raise StoreRefusedError("The store is full.")

        monkeypatch.setattr(service.requests, "commit", refuse)
        for method in ("PUT", "DELETE"):
            answer = await service.client.request(method, path("ann"), content=b"{}")
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        monkeypatch.undo()
        assert await profile_of(service, "ann") == {"name": "Ann", "company": "Acme"}

    async def test_without_a_version_nobody_knows_the_columns(self, open_place: Any) -> None:
        async with open_place(published=False) as service:
            assert (await service.client.put(path("ann"), json={})).status_code == 503
            assert (await service.client.delete(path("ann"))).status_code == 202


class TestErasure:
    async def test_the_person_is_gone_when_the_answer_is_there(self, service: ApiHarness) -> None:
        await service.recommended("eva")
        row = service.parts.versions.active.tables.vocabulary.row("eva")
        key = service.keys.ranked(service.parts.versions.active.version, row, "web")
        assert service.store.get(key) is not None
        receipt = await erase(service, "eva")
        assert service.store.get(key) is None
        assert await profile_of(service, "eva") == 404
        hidden = HiddenSet()
        follow_blocking(service.store, service.keys, hidden)
        assert hidden.over("eva", 7, service.parts.versions.active.manifest.cut_us) == 0
        for other in ("eva/why/ann", "ann/why/eva"):
            assert (await service.client.get(f"/pymk/users/{other}")).status_code == 404
        said = (await service.client.get(f"/pymk/erasures/{receipt}")).json()
        assert (said["receipt"], said["state"], said["done_at"]) == (receipt, "hidden", None)

    async def test_asking_again_changes_nothing_until_somebody_new_has_the_id(self, service: ApiHarness) -> None:
        first = await erase(service, "eva")
        entries = service.store._appended
        assert await erase(service, "eva") == first
        assert service.store._appended == entries
        await put(service, "eva", company="Bolt")
        assert await profile_of(service, "eva") == {"company": "Bolt"}
        assert await profile_of(service, "fay") == {"name": "Fay", "company": "Bolt"}
        second = await erase(service, "eva")
        assert second != first
        assert await profile_of(service, "eva") == 404
        for receipt in (first, second):
            assert (await service.client.get(f"/pymk/erasures/{receipt}")).json()["state"] == "hidden"

    async def test_who_was_never_known_is_erased_all_the_same(self, service: ApiHarness) -> None:
        receipt = await erase(service, "nobody")
        assert (await service.client.get(f"/pymk/erasures/{receipt}")).json()["state"] == "hidden"

    @pytest.mark.parametrize("receipt", ["x", "0" * 48, "0" * 47, "%2F", "🦊", "a" * 5000])
    async def test_an_unknown_receipt_is_a_404(self, service: ApiHarness, receipt: str) -> None:
        real = await erase(service, "eva")
        answer = await service.client.get(f"/pymk/erasures/{quote(receipt)}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert (await service.client.get(f"/pymk/erasures/{real[:-1]}0")).status_code == 404 or real.endswith("0")

    async def test_versions_made_before_are_refused_by_name_and_the_next_one_ends_it(
        self, service: ApiHarness, make_version: Callable[..., str]
    ) -> None:
        first = service.parts.versions.active.version
        second = service.publish()
        await service.serving(second)
        receipt = await erase(service, "eva")
        refusals = [
            await service.client.post("/admin/rollback"),
            await service.client.post(f"/admin/versions/{first}/activate"),
        ]
        for refusal in refusals:
            assert refusal.status_code == 409, refusal.text
            assert first in refusal.json()["detail"]
            assert "erased" in refusal.json()["detail"]
        assert (await service.client.post(f"/admin/versions/{second}/activate")).status_code == 200, "it is active"

        async def turn() -> dict[str, Any]:
            now = now_us() + 3_000_000
            for shard in range(16):
                service.store.delete([service.keys.log(shard)])  # as if archived
            purge_once(service.store, service.keys, Versions(service.home), clock=lambda: now)
            said: dict[str, Any] = (await service.client.get(f"/pymk/erasures/{receipt}")).json()
            return said

        assert (await turn())["waits_for"] == ["night"]
        third = service.publish(live_cut=now_us() + 1)
        service.store.set(service.keys.process("slow"), second.encode(), 60)
        await service.serving(third)
        with anyio.fail_after(5):  # each host clears its own disk
            while Versions(service.home).ids() != [third]:  # noqa: ASYNC110  # the disk does not tell
                await anyio.sleep(0.01)
        assert (await turn())["waits_for"] == ["processes"]
        service.store.delete([service.keys.process("slow")])
        said = await turn()
        assert (said["state"], said["waits_for"]) == ("done", [])
        assert said["done_at"] > said["erased_at"]
        assert Versions(service.home).ids() == [third]
        assert not [key for key in service.store._stored if first in key or second in key]
        refused = await service.client.post("/admin/rollback")
        assert refused.status_code == 409
        assert second in refused.json()["detail"]
        assert "erased" in refused.json()["detail"]
        assert (await service.client.post(f"/admin/versions/{first}/activate")).status_code == 404
        assert await erase(service, "eva") == receipt
        assert not [key for key in service.store._stored if "eva" in key]


@pytest.mark.parametrize(
    ("method", "url"), [("PUT", "/pymk/users/cid"), ("DELETE", "/pymk/users/cid"), ("GET", "/pymk/erasures/x")]
)
async def test_writing_asks_for_its_scope(open_place: Any, method: str, url: str) -> None:
    async with open_place(keys="reader:read,writer:write") as service:

        async def status(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            return int((await service.client.request(method, url, headers=headers, content=b"{}")).status_code)

        assert await status("nobody") == 401
        assert await status("reader") == 403
        assert await status("writer") in {202, 404}
