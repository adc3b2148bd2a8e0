"""Token buckets: the long run, the burst, and the wait."""

import pytest
from pydantic import ValidationError

from models.setting_texts import RateLimit
from models.settings import Settings
from service.web import rate_limits
from service.web.rate_limits import TokenBuckets


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    buckets = TokenBuckets(clock)
    limit = RateLimit(2.0, 5)
    assert [buckets.take("a", limit) for _ in range(7)] == [4, 3, 2, 1, 0, -1, -1]
    clock.now += 0.25
    assert buckets.take("a", limit) == -0.5, "half a token came back; asking took none"
    clock.now += 0.25
    assert buckets.take("a", limit) == 0
    clock.now += 1000
    assert buckets.take("a", limit) == 4, "never more than the burst"
    taken = 0
    for _ in range(1000):
        clock.now += 0.01
        taken += buckets.take("b", limit) >= 0
    assert taken == 24, "5 at once, and 2 in each of 10 seconds, the last one still on its way"


def test_buckets_of_many_callers_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MOST_BUCKETS", 3)
    buckets = TokenBuckets(Clock())
    limit = RateLimit(1.0, 2)
    for name in "abacad":
        buckets.take(name, limit)
    assert list(buckets._buckets) == ["c", "a", "d"]


@pytest.mark.parametrize(
    "text", ["read", "read:0", "read:-1", "read:x", "other:1", "read:1:0", "read:nan", "read:1,read:2"]
)
def test_a_wrong_limit_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Settings(rate_limits=text)  # type: ignore[arg-type]


def test_limits_are_read_from_one_line() -> None:
    assert Settings(rate_limits="read:0.5, write:50:7").rate_limits == {  # type: ignore[arg-type]
        "read": RateLimit(0.5, 1),
        "write": RateLimit(50.0, 7),
    }
    assert Settings().rate_limits == {}
