"""Compiles the kernels, and caches their machine code on disk until the source of any of them changes."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

from models.schema import candidate_sources, pair_features

F = TypeVar("F", bound=Callable[..., Any])


def compiled(*, fastmath: bool = False) -> Callable[[F], F]:
    """A decorator: `numba.njit(nogil=True)` with a cache on disk, as `cache=True` has it but for three cases.

    Numba's cache depends on the file of the function alone, and would keep machine code of functions and constants that
    have changed in other files. It raises if an entry does not read back (the host lost its power) or if the disk is
    full. None of this can be set, so the cache object is replaced.
    """

    def compile_lazily(function: F) -> F:
        kernel: Any = njit(nogil=True, fastmath=fastmath)(function)
        with suppress(RuntimeError):  # no directory is writable: each process compiles for itself
            kernel._cache = _KernelCache(function)  # noqa: SLF001  as cache=True does
        return kernel  # type: ignore[no-any-return]

    return compile_lazily


class _KernelCache(FunctionCache):
    """Entries of any other state of the sources are misses, and so is one that does not read back."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        digest = _sources_digest(Path(function.__code__.co_filename).parent)
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, digest)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file raises anything
            with suppress(OSError):
                self.flush()  # the next save reads the index, which may be the damaged file
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


@cache
def _sources_digest(folder: Path) -> str:
    """SHA-256 of the sources that a kernel in this folder may call or take a constant from."""
    constants = [Path(module.__file__) for module in (pair_features, candidate_sources) if module.__file__]
    digest = hashlib.sha256()
    for path in sorted({*folder.glob("*.py"), *Path(__file__).parent.glob("*.py"), *constants}):
        digest.update(path.read_bytes())
    return digest.hexdigest()
