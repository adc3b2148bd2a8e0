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
from service.state.experiments import ArmsOfViewers

_LOGGED_EVERY = 10_000


def run(settings: Settings, ids: list[UserId] | None, *, context: str, limit: int) -> None:
    """Writes one list per person to stdout, for all active users if `ids` is None."""
    with closing(open_sync(settings)) as store:
        keys, arms = Keys(settings.namespace), ArmsOfViewers(settings)
        arms.take(registry.read(store, keys=keys))
        recommender = BatchRecommender(
            store,
            Versions(settings.home),
            keys,
            Ranker.open,
            RerankSettings.of(settings),
            settings.forbidden_days,
            arms,
        )
        viewers = recommender.active_users if ids is None else ids
        documents = recommender.answers(viewers, context, limit)
        for document in _with_progress(documents, None if ids is None else len(ids)):
            sys.stdout.buffer.write(document + b"\n")
        sys.stdout.buffer.flush()


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
