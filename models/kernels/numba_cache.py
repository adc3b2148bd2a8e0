"""Compiles the kernels, and caches their machine code on disk until the source of any of them changes."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    InTreeCacheLocator,
    UserProvidedCacheLocator,
)

from models.schema import candidate_sources, pair_features

F = TypeVar("F", bound=Callable[..., Any])


def compiled(*, fastmath: bool = False) -> Callable[[F], F]:
    """A decorator: `numba.njit(nogil=True)` with a cache on disk, as `cache=True` has it but for four cases.

    Numba's cache depends on the file of the function alone, and would keep machine code of functions and constants that
    have changed in other files. It raises if an entry does not read back (the host lost its power) or if the disk is
    full. It reads nothing from a directory that it cannot write to, such as that of an image. None of this can be set,
    so the cache object is replaced.
    """

    def compile_lazily(function: F) -> F:
        kernel: Any = njit(nogil=True, fastmath=fastmath)(function)
        with suppress(RuntimeError):  # no directory is writable: each process compiles for itself
            kernel._cache = _KernelCache(function)  # noqa: SLF001  as cache=True does
        return kernel  # type: ignore[no-any-return]

    return compile_lazily


def cache_directory() -> Path | None:
    """The directory under which machine code is kept; None if there is none."""
    if directory := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(directory)
    with suppress(RuntimeError):
        return Path(_KernelCache(compiled)._cache_path)  # noqa: SLF001
    return None


class _Readable:
    """A locator that takes a directory with entries even if it is read-only."""

    def ensure_cache_path(self) -> None:
        """Raises OSError if the directory is neither writable nor filled."""
        try:
            super().ensure_cache_path()  # type: ignore[misc]
        except OSError:
            if not any(Path(self.get_cache_path()).glob("*.nbi")):  # type: ignore[attr-defined]
                raise


class _Provided(_Readable, UserProvidedCacheLocator):
    """NUMBA_CACHE_DIR."""


class _InTree(_Readable, InTreeCacheLocator):
    """Beside the source."""


class _KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes = [_Provided, _InTree, *CompileResultCacheImpl._locator_classes[2:]]  # noqa: RUF012, SLF001  as its base declares it


class _KernelCache(FunctionCache):
    """Entries of any other state of the sources are misses, and so is one that does not read back."""

    _impl_class = _KernelCacheImpl

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
