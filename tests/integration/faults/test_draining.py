"""SIGTERM: readiness says it first, and the port closes later."""

import http.client
import json
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.support.clock import wait_for
from tests.support.homes import Home, Service
from tests.support.stores import free_port

DRAIN_S = 4.0
EVENT = json.dumps([{"kind": "dismiss", "user_id": "cid", "other_id": "eva"}]).encode()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_readiness_is_503_for_a_while_before_the_port_closes_and_nothing_fails(
    make_home: Callable[..., Home], workers: str
) -> None:
    home, service = make_home(PYMK_DRAIN_S=str(DRAIN_S)), Service(free_port())
    process = home.begin("serve", "--port", str(service.port), "--workers", workers, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: service.get("/health/ready")[0] == 200)
        begun = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
        begun.putrequest("POST", "/pymk/events")
        begun.putheader("Content-Type", "application/json")
        begun.putheader("Content-Length", str(len(EVENT)))
        begun.endheaders()
        begun.send(EVENT[:10])
        process.send_signal(signal.SIGTERM)
        # not ready, and everything is answered
        stopped_at = time.monotonic()
        status, body = wait_for(lambda: (found := service.get("/health/ready"))[0] != 200 and found, interval_s=0.02)
        assert (status, body["detail"]) == (503, "process: draining")
        assert body["parts"]["process"] == {"ok": False, "detail": "draining: it is about to stop"}
        wait_for(lambda: {service.get("/health/ready")[0] for _ in range(10)} == {503}, timeout_s=DRAIN_S)
        assert service.get("/health/live")[0] == 200
        assert {service.get("/pymk/recommendations?user_id=cid")[0] for _ in range(10)} == {200}
        assert process.poll() is None
        # the end: what was begun is answered, and the status is 0
        begun.send(EVENT[10:])
        assert begun.getresponse().status == 202
        begun.close()
        assert process.wait(30) == 0
        assert time.monotonic() - stopped_at >= DRAIN_S
        assert service.get("/health/live") == (0, None)
    finally:
        process.kill()
        process.wait()


def test_a_key_at_the_keyboard_stops_at_once(make_home: Callable[..., Home]) -> None:
    home, service = make_home(PYMK_DRAIN_S="600"), Service(free_port())
    process = home.begin("serve", "--port", str(service.port), stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: service.get("/health/ready")[0] == 200)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
