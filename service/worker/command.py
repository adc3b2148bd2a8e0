"""`pymk worker`: builds a worker from the settings, and runs it until it is stopped."""

import os
import signal
import socket
import threading
from contextlib import ExitStack

import structlog

from models.candidate_refresh.generator import open_generator
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions
from service.worker.canary.judge import CanaryPlan
from service.worker.health import answering
from service.worker.worker import Worker


def work(settings: Settings, host: str, port: int | None) -> None:
    """Works until SIGTERM or SIGINT; answers for health and metrics on this address unless `port` is None."""
    log = structlog.get_logger()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as closing:
        store = open_sync(settings, lambda sentence: log.info("worker_waits", part="store", reason=sentence))
        closing.callback(store.close)
        worker = Worker(
            store,
            Versions(settings.home),
            Keys(settings.namespace),
            open_generator,
            name=f"worker-{socket.gethostname()}-{os.getpid()}",
            stop=stop,
            superseded_ttl_s=settings.superseded_ttl_s,
            forbidden_days=settings.forbidden_days,
            exposure_limit=settings.exposure_limit,
            outcomes_days=settings.outcomes_days,
            seldom=settings.exploration_seldom if settings.exploration_boost > 1 else 0,
            suggests_newcomers=settings.newcomers_share > 0,
            contexts=settings.surfaces,
            canary=CanaryPlan(settings.canary_steps, settings.canary_lists, settings.canary_minutes),
        )
        if port is not None:
            closing.enter_context(answering(worker, host, port))
        worker.run()
