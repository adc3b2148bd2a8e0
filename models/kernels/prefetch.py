"""Asks the processor for memory before it is read, for kernels that read random rows of large tables.

A row that is in no cache takes a hundred nanoseconds; sixteen asked for at once take hardly longer than one.
"""

from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

AHEAD = 16
"""rows to ask for before the one that is read: as many cache lines as a core fetches at a time"""
LINE = 64
"""bytes of a cache line"""
_FOR_READING, _TO_STAY, _DATA = 0, 3, 1

if TYPE_CHECKING:

    def prefetch(array: Any, row: int, column: int) -> None:
        """Asks for the cache line of an entry of a two-dimensional array, or of the place behind its end."""

    def prefetch_entry(array: Any, at: int) -> None:
        """Asks for the cache line of an entry of a one-dimensional array, or of the place behind its end."""
else:

    def _codegen(context, builder, signature, arguments):
        """The instruction for the entry of an array, the first argument, at the place that the others name."""
        kind = signature.args[0]
        made = context.make_array(kind)(context, builder, arguments[0])
        entry = cgutils.get_item_pointer(context, builder, kind, made, arguments[1:])
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        wanted = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], wanted)
        hints = [number(hint) for hint in (_FOR_READING, _TO_STAY, _DATA)]
        builder.call(function, [builder.bitcast(entry, pointer), *hints])
        return context.get_dummy_value()

    @intrinsic
    def prefetch(typingctx, array, row, column):
        """Asks for the cache line of an entry of a two-dimensional array, or of the place behind its end."""
        return types.void(array, types.intp, types.intp), _codegen

    @intrinsic
    def prefetch_entry(typingctx, array, at):
        """Asks for the cache line of an entry of a one-dimensional array, or of the place behind its end."""
        return types.void(array, types.intp), _codegen
