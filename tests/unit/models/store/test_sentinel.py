"""Addresses of Sentinels, and which of their answers counts."""

from typing import Any

import pytest
import redis.exceptions as client

from models.errors import UsageError
from models.settings import Settings
from models.store.connect import check_address
from models.store.failover.sentinel import SentinelUrl, latest


def test_a_url_names_sentinels_service_and_credentials() -> None:
    url = SentinelUrl.parse("redis+sentinel://ann:p%40ss@one,two:26380,[::1]:5/people/3?sentinel_password=s%26t")
    assert url.sentinels == (("one", 26379), ("two", 26380), ("::1", 5))
    assert (url.service, url.database) == ("people", 3)
    assert url.store_options == {"username": "ann", "password": "p@ss", "db": 3}
    assert [one["password"] for one in url.sentinel_options()] == ["s&t"] * 3
    assert not url.is_encrypted
    assert "p@ss" not in str(url)
    assert SentinelUrl.parse("rediss+sentinel://one/people").is_encrypted
    assert SentinelUrl.parse("redis+sentinel://:secret@one/people").store_options == {"password": "secret"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://one:26379", "the name of the service is missing"),
        ("redis+sentinel:///people", "no host in ''"),
        ("redis+sentinel://one,,two/people", "no host in ''"),
        ("redis+sentinel://one:port/people", "port"),
        ("redis+sentinel://one/people/first", "invalid literal"),
        ("redis+sentinel://one/people?sentinel_pasword=x", "unknown parameter sentinel_pasword"),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=r"PYMK_REDIS_URL must be redis\+sentinel://HOST:PORT") as refused:
        check_address(Settings(redis_url=url))
    assert why in str(refused.value)


@pytest.mark.parametrize("url", ["redis://one:6379,two:port", "redis://one,,two", "redis+sentinel://one/people"])
def test_a_wrong_list_of_cluster_nodes_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="with more nodes of the cluster after commas"):
        check_address(Settings(redis_url=url, redis_cluster=True))
    check_address(Settings(redis_url="redis://:secret@one:6379,two,[::1]:7000", redis_cluster=True))


def test_replicas_are_waited_for_only_where_there_may_be_some() -> None:
    with pytest.raises(UsageError, match="the embedded store has no replicas"):
        check_address(Settings(redis_replicas=1))


def state(port: int, epoch: int, *, down: bool = False) -> dict[str, Any]:
    return {"ip": "10.0.0.1", "port": port, "config-epoch": epoch, "is_sdown": down, "is_odown": False}


def test_the_latest_configuration_counts() -> None:
    assert latest([state(1, 4), state(2, 5), state(1, 4)], "people") == ("10.0.0.1", 2)
    assert latest([state(2, 5, down=True), state(2, 5)], "people") == ("10.0.0.1", 2)


def test_a_primary_that_the_latest_configuration_calls_down_is_not_used() -> None:
    with pytest.raises(client.ConnectionError, match="the primary of people is down"):
        latest([state(1, 4), state(2, 5, down=True)], "people")
    with pytest.raises(client.ConnectionError, match="no Sentinel names a primary of people"):
        latest([], "people")
