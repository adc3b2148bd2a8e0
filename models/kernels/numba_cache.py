"""Compiles the kernels, and caches their machine code on disk until the source of any of them changes."""

import hashlib
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import structlog
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
    """A decorator: `numba.njit(nogil=True)` with a cache on disk, as `cache=True` has it but for six cases.

    Numba's cache depends on the file of the function alone, and would keep machine code of functions and constants that
    have changed in other files. It raises if an entry does not read back (the host lost its power), if the disk is
    full, and if no directory is writable. It runs machine code that was altered on disk, or that another process wrote
    for other types at the same time. It reads nothing from a directory that it cannot write to, such as that of an
    image. None of this can be set, so the cache object is replaced. The log says what is compiled anew or not kept,
    once for each process.
    """

    def compile_lazily(function: F) -> F:
        kernel: Any = njit(nogil=True, fastmath=fastmath)(function)
        try:
            kernel._cache = _KernelCache(function)  # noqa: SLF001  as cache=True does
        except (RuntimeError, OSError) as error:  # each process compiles for itself
            _log_once("kernels_not_kept", error)
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


class _CheckedFile(IndexDataCacheFile):
    """Files whose machine code is read if it is what was written, and was written for the types asked for."""

    def __init__(self, cache_path: str, filename_base: str, digest: str) -> None:
        super().__init__(cache_path, filename_base, digest)
        self._version = f"{self._version} with digests"

    def save(self, key: Any, data: Any) -> None:
        """Writes the machine code for a key: types, kind of processor and bytecode."""
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        """The machine code for a key; None if there is none. Raises any exception if a file was altered."""
        found = super().load(key)
        if found is None or found[0] != key:  # two processes chose one name for the code of two keys
            return None
        return found[1]

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()
        digest, pickled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(pickled).digest() != digest:
            raise ValueError(f"{self._data_path(name)} is truncated or altered")
        return pickle.loads(pickled)  # noqa: S301  the digest is that of what numba wrote

    def _save_data(self, name: str, data: Any) -> None:
        pickled = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(pickled).digest() + pickled)


class _KernelCache(FunctionCache):
    """Entries of any other state of the sources are misses, and so is one that does not read back."""

    _impl_class = _KernelCacheImpl

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        digest = _sources_digest(Path(function.__code__.co_filename).parent)
        self._cache_file = _CheckedFile(self._cache_path, self._impl.filename_base, digest)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # unpickling a damaged file raises anything
            _log_once("kernels_compiled_anew", error, directory=self._cache_path)
            with suppress(OSError):
                self.flush()  # the next save reads the index, which may be the damaged file
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:  # a full disk, another's directory, an index that cannot be replaced
            _log_once("kernels_not_kept", error, directory=self._cache_path)


def _log_once(event: str, error: Exception, **where: str) -> None:
    """Logs the first event of its name in this process."""
    if event not in _logged:
        _logged.add(event)
        structlog.get_logger().warning(event, **where, reason=f"{type(error).__name__}: {error}", advice=_ADVICE[event])


_logged: set[str] = set()
_ADVICE = {
    "kernels_compiled_anew": "the damaged files are replaced",
    "kernels_not_kept": "each process compiles them; let NUMBA_CACHE_DIR name a directory that can be written to",
}
_DIGEST_BYTES = hashlib.sha256().digest_size


@cache
def _sources_digest(folder: Path) -> str:
    """SHA-256 of the sources that a kernel in this folder may call or take a constant from."""
    constants = [Path(module.__file__) for module in (pair_features, candidate_sources) if module.__file__]
    digest = hashlib.sha256()
    for path in sorted({*folder.glob("*.py"), *Path(__file__).parent.glob("*.py"), *constants}):
        digest.update(path.read_bytes())
    return digest.hexdigest()
