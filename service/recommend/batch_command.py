"""`pymk recommend`: user ids in, JSON lines out, progress on stderr."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing

import structlog

from models.experiments import registry
from models.ranker.ranker import Ranker
from models.schema.vocabulary import UserId
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions
from service.ranking.rerank import RerankSettings
from service.recommend.batch import BatchRecommender
from service.recommend.bulk_exposures import BulkExposures
from service.state.experiments import ArmsOfViewers

_LOGGED_EVERY = 10_000


def run(settings: Settings, ids: list[UserId] | None, *, context: str, limit: int, log: bool = False) -> None:
    """Writes one list per person to stdout, for all active users if `ids` is None; `log` records the lists."""
    with closing(open_sync(settings)) as store:
        keys, arms, exposures = Keys(settings.namespace), ArmsOfViewers(settings), None
        arms.take(registry.read(store, keys=keys))
        if log:
            exposures = BulkExposures(store, keys, share=settings.exposure_share, most_mb=settings.exposure_log_mb)
        recommender = BatchRecommender(
            store,
            Versions(settings.home),
            keys,
            Ranker.open,
            RerankSettings.of(settings),
            settings.forbidden_days,
            arms,
            exposures,
        )
        viewers = recommender.active_users if ids is None else ids
        documents = recommender.answers(viewers, context, limit)
        for document in _with_progress(documents, None if ids is None else len(ids)):
            sys.stdout.buffer.write(document + b"\n")
        sys.stdout.buffer.flush()
    if exposures is not None:
        write = structlog.get_logger().warning if exposures.lost else structlog.get_logger().info
        write("exposures_logged", lists=exposures.logged, lost=exposures.lost)


def _with_progress(documents: Iterable[bytes], total: int | None) -> Iterator[bytes]:
    """Passes documents on, and draws progress on stderr if that is a terminal; else logs it."""
    from rich.console import Console
    from rich.progress import track

    quiet = not sys.stderr.isatty()
    tracked = track(documents, "making lists", total, console=Console(stderr=True), transient=True, disable=quiet)
    for count, document in enumerate(tracked, 1):
        yield document
        if quiet and count % _LOGGED_EVERY == 0:
            structlog.get_logger().info("lists_made", lists=count, of=total)
