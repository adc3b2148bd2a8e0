"""`pymk serve`, `pymk worker` and commands while the store fails over."""

import subprocess
from collections.abc import Callable
from contextlib import closing

from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import SHARDS, Keys
from tests.support.clock import wait_for
from tests.support.faults.forwarder import Pair
from tests.support.homes import Home, Service

KEYS = Keys("pymk")
OTHERS = {"eva", "fay", "gus", "h\u00e9lo\u00efse"}
LIST = "/pymk/recommendations?user_id=cid"
BLOCK = [{"kind": "block", "user_id": "cid", "other_id": "eva", "event_id": "1"}]
CONNECTIONS = 20
"""more than enough for both processes to answer some of them"""


def lists(service: Service) -> list[tuple[int, set[str]]]:
    """Status and people of a list, over connections of their own."""
    answers = (service.get(LIST) for _ in range(CONNECTIONS))
    return [(status, {one["user_id"] for one in body.get("recommendations", ())}) for status, body in answers]


def test_the_service_answers_nothing_from_a_demoted_store_and_follows_the_address(
    pair: Pair, make_home: Callable[..., Home]
) -> None:
    home = make_home(PYMK_REDIS_URL=f"redis://127.0.0.1:{pair.address.port}", PYMK_REDIS_TIMEOUT_MS="2000")
    worker = home.begin("worker", stderr=subprocess.DEVNULL)
    try:
        with home.serving("--workers", "2") as service:
            before = lists(service)
            assert {status for status, _ in before} == {200}
            assert all("eva" in people for _, people in before)
            wait_for(lambda: pair.new.dbsize() == pair.old.dbsize())
            # the primary is demoted, and no other one is there yet
            pair.demote()
            wait_for(lambda: all(status == 503 for status, _ in lists(service)))
            status, body = service.get("/health/ready")
            assert (status, body["parts"]["store"]["detail"]) == (503, "The store is no primary at the moment.")
            assert service.get(LIST)[1]["served"] == "unavailable"
            assert service.post("/pymk/events", BLOCK)[0] == 503
            assert home.run("versions").stderr.count("is no primary") == 1
            # the address moves
            pair.promote()
            pair.move()
            wait_for(lambda: service.post("/pymk/events", BLOCK) == (202, {"accepted": 1}))
            after = lists(service)
            assert not any("eva" in people for _, people in after), "acknowledged, and shown"
            wait_for(lambda: all(status == 200 for status, _ in lists(service)))
            assert service.get("/health/ready")[0] == 200
            # the worker and commands follow too
            assert home.run("versions").returncode == 0
            with closing(open_sync(Settings(redis_url=f"redis://127.0.0.1:{pair.new_port}"))) as store:
                wait_for(lambda: sum(store.stream_length(KEYS.log(shard)) for shard in range(SHARDS)) == 0)
            assert worker.poll() is None
        worker.terminate()
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()
