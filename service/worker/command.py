"""`pymk worker`: builds a worker from the settings, and runs it until it is stopped."""

import os
import signal
import socket
import threading
from contextlib import ExitStack

import structlog

from models.candidate_refresh.generator import open_generator
from models.errors import StoreUnavailableError
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from service.worker.canary.judge import CanaryPlan
from service.worker.health import answering
from service.worker.worker import Worker

AGAIN_S = 1.0
"""until a store that does not answer is opened again"""


def work(settings: Settings, host: str, port: int | None) -> None:
    """Works until SIGTERM or SIGINT; answers for health and metrics on this address unless `port` is None."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as closing:
        store = _opened(settings, stop)
        if store is None:
            return
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
            seldom=settings.exploration_seldom,
            favours_seldom=settings.exploration_boost > 1,
            suggests_newcomers=settings.newcomers_share > 0,
            contexts=settings.all_contexts,
            canary=CanaryPlan(
                settings.canary_steps, settings.canary_lists, settings.canary_minutes, settings.canary_step_hours
            ),
        )
        if port is not None:
            closing.enter_context(answering(worker, host, port))
        worker.run()


def _opened(settings: Settings, stop: threading.Event) -> SyncStore | None:
    """The store, as soon as one that PYMK_REDIS_URL names answers; None if the worker is stopped before.

    A cluster is asked for its nodes at once, and any of them may be away for a moment. Raises StoreUnavailableError if
    the embedded store does not start.
    """
    log, told = structlog.get_logger(), ""
    while not stop.is_set():
        try:
            return open_sync(settings, lambda sentence: log.info("worker_waits", part="store", reason=sentence))
        except StoreUnavailableError as error:
            if settings.redis_url is None:
                raise
            if str(error) != told:
                log.warning("worker_waits", part="store", reason=str(error))
            told = str(error)
            stop.wait(AGAIN_S)
    return None
