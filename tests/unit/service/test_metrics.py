"""What requests count reaches prometheus-client whole, gathered or not."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from service.metrics import GATHERED_S, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Values by name and label values."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (one.name, ",".join(one.labels[name] for name in sorted(one.labels))): one.value
        for family in families
        for one in family.samples
    }


def count(metrics: Metrics) -> None:
    metrics.in_work(2)
    metrics.listed("ranked", {"store": 0.0002, "rank": 0.00021}, {"connected": 3}, {"diversity": 2})
    metrics.listed("cache", {"store": 0.5}, {"connected": 1, "self": 1}, {})
    metrics.answered("/x", 200, 0.002)
    metrics.answered("/x", 503, 7.0)
    metrics.in_work(1)


def test_every_count_is_in_the_text() -> None:
    metrics = Metrics()
    count(metrics)
    count(metrics)
    found = samples(metrics)
    assert found["pymk_served_total", "ranked"] == found["pymk_served_total", "cache"] == 2
    assert found["pymk_drops_total", "connected"] == 8
    assert found["pymk_drops_total", "self"] == 2
    assert found["pymk_moved_total", "diversity"] == 4
    assert found["pymk_requests_total", "/x,200"] == found["pymk_requests_total", "/x,503"] == 2
    assert found["pymk_in_flight", ""] == 1
    assert found["pymk_stage_seconds_count", "store"] == 4
    assert found["pymk_stage_seconds_bucket", "0.0001,store"] == 0
    assert found["pymk_stage_seconds_bucket", "0.0002,store"] == 2, "a bound belongs to its bucket"
    assert found["pymk_stage_seconds_bucket", "0.05,store"] == 2
    assert found["pymk_stage_seconds_bucket", "+Inf,store"] == 4
    assert found["pymk_stage_seconds_bucket", "0.0002,rank"] == 0
    assert found["pymk_stage_seconds_bucket", "0.0005,rank"] == 2
    assert found["pymk_request_seconds_sum", "/x"] == 14.004
    assert samples(metrics) == found, "nothing counts twice"


def test_what_gathers_is_known_without_anybody_asking() -> None:
    metrics = Metrics()

    async def counted() -> float:
        count(metrics)
        assert not metrics.served.labels("ranked")._value.get(), "it gathers"
        await asyncio.sleep(2 * GATHERED_S)
        return float(metrics.served.labels("ranked")._value.get())

    assert asyncio.run(counted()) == 1
