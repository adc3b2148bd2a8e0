"""Compilation of the kernels, kept on disk until any of their sources changes."""

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
    """A decorator: `numba.njit(nogil=True)` with a cache that knows what a kernel is made of.

    Numba's own cache looks at the file of the function alone. The functions it calls and the constants it reads stand
    in other files, and machine code of their former state would run on, unseen, after an upgrade in place.
    """

    def compile_lazily(function: F) -> F:
        kernel: Any = njit(nogil=True, fastmath=fastmath)(function)
        with suppress(RuntimeError):  # nowhere to keep it: each process compiles for itself
            kernel._cache = _KernelCache(function)  # noqa: SLF001  what njit(cache=True) does, with another cache
        return kernel  # type: ignore[no-any-return]

    return compile_lazily


class _KernelCache(FunctionCache):
    """A cache on disk that is also marked by the sources of all kernels.

    Nothing depends on it but time: what cannot be read back is compiled anew, what cannot be written is not kept.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        stamp = (self._impl.locator.get_source_stamp(), _sources_digest(Path(function.__code__.co_filename).parent))
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What is kept of a kernel for these types, None where nothing is that reads back."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling what a loss of power left raises anything
            with suppress(OSError):
                self.flush()  # or else the file in the way could not be replaced either
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps a kernel, where there is room."""
        with suppress(OSError):
            super().save_overload(sig, data)


@cache
def _sources_digest(room: Path) -> str:
    """SHA-256 of every file that a kernel in a directory calls into or takes a constant from."""
    elsewhere = [Path(module.__file__) for module in (pair_features, candidate_sources) if module.__file__]
    digest = hashlib.sha256()
    for path in [*sorted(room.glob("*.py")), *elsewhere]:
        digest.update(path.read_bytes())
    return digest.hexdigest()
