"""`pymk recommend`: user ids in, JSON lines out, progress on stderr."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import structlog

from models.errors import UsageError
from models.ranker.ranker import Ranker
from models.settings import CONTEXTS, Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions
from service.ranking.rerank import RerankSettings
from service.recommend.batch import BatchRecommender, read_user_ids

_LOGGED_EVERY = 10_000
_STDIN = Path("-")


def run(settings: Settings, users: Path | None, *, everyone: bool, context: str, limit: int) -> None:
    """Writes one list per person to stdout. Raises UsageError for arguments that do not fit together."""
    if everyone == (users is not None):
        raise UsageError("name the viewers: either --users FILE or --all")
    contexts = {*CONTEXTS, *settings.contexts}
    if context not in contexts:
        raise UsageError(f"--context must be one of {', '.join(sorted(contexts))}; PYMK_CONTEXTS adds more")
    ids = read_user_ids(Path("/dev/stdin") if users == _STDIN else users) if users is not None else []
    with closing(open_sync(settings)) as store:
        recommender = BatchRecommender(
            store,
            Versions(settings.home),
            Keys(settings.namespace),
            Ranker.open,
            RerankSettings.of(settings),
            settings.forbidden_days,
        )
        viewers = recommender.active_users if everyone else ids
        documents = recommender.answers(viewers, context, limit)
        for document in _with_progress(documents, None if everyone else len(ids)):
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
