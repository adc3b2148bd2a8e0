"""The processes of a training: the part of the work that each has, and what they exchange."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from warnings import catch_warnings, simplefilter

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.errors import PymkError
from offline.training.messages import Bytes, packed, unpacked

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

T = TypeVar("T")

AT_ONCE = 1 << 28
"""bytes of a message that are sent at a time"""
LOST = ("gloo", "NCCL", "Connection", "connection", "timed out", "Timed out", "timeout")
"""words of torch.distributed about a process that is gone or does not answer"""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; `count` 1: it trains alone, and exchanges nothing.

    All have the same data and weights. Of a step's pairs and of the rows to embed each has its own part. Rank 0 leads:
    it alone reads the dataset and the store, writes files and logs; the others follow it call by call.
    """

    rank: int = 0
    """number of this process"""
    count: int = 1
    device: str = "auto"
    """where to train if the configuration leaves it open"""
    waits: "ProcessGroup | None" = None
    """of messages, for which followers wait as long as rank 0 works alone; None: alone"""
    gathers: "ProcessGroup | None" = None
    """of rows; None: alone"""
    gradients: "ProcessGroup | None" = None
    """of gradients, which are exchanged beside those of rows; None: alone"""

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    # parts

    def own(self, n: int) -> slice:
        """The part of n rows that this process has; the parts follow each other by rank, and the last may be short."""
        size = -(-n // self.count)
        return slice(min(self.rank * size, n), min((self.rank + 1) * size, n))

    def weight(self, n: int) -> float:
        """What the mean over the own part of n is multiplied by, so that the mean over processes is that over all n."""
        own = self.own(n)
        return float((own.stop - own.start) * self.count / max(n, 1))

    # exchange

    def whole(self, own: Tensor, n: int) -> Tensor:
        """All n rows (n, ...) from every process's own part (p, ...), in every process; without gradient."""
        if self.count == 1:
            return own
        size = -(-n // self.count)
        padded = own.new_zeros((size, *own.shape[1:]))
        padded[: len(own)] = own.detach()
        gathered = own.new_empty((self.count * size, *own.shape[1:]))
        dist.all_gather(list(gathered.chunk(self.count)), padded, group=self.gathers)
        return gathered[:n]

    def whole_to_learn(self, own: Tensor, n: int) -> Tensor:
        """The same with a gradient: that of a row is the sum of all processes' gradients of it."""
        if self.count == 1:
            return own
        rows: Tensor = _Whole.apply(own, self, n)
        return rows

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes of a tensor on the CPU, which it overwrites."""
        if self.count > 1:
            dist.all_reduce(values)
            values = values / self.count
        return values

    def agreed(self, value: Callable[[], T]) -> T:
        """What rank 0 computes, in every process, so that all decide alike."""
        if self.count == 1:
            return value()
        found: T = self._sent(value()) if self.leads else self._received()
        return found

    def data_parallel(
        self, model: nn.Module, forward: Callable[..., Any] | None = None, *, may_leave_out: bool = False
    ) -> Callable[..., Any]:
        """`forward`, or the model itself, as a function whose backward pass averages the gradients of all processes.

        `may_leave_out`: whether some parameter may have no part in a loss.
        """
        if self.count == 1:
            return model if forward is None else forward
        return nn.parallel.DistributedDataParallel(
            _Forward(model, model if forward is None else forward),
            process_group=self.gradients,
            forward_sync_buffers=False,
            find_unused_parameters=may_leave_out,
        )

    # calls

    def together(self, work: Callable[..., T], *arguments: Any, **own: Any) -> T:
        """`work(*arguments, processes=...)` in every process; returns what it is in rank 0, which calls this.

        `work` is a function of a module. Only rank 0 passes `own` as well. Raises PymkError if another process is lost.
        """
        if self.count == 1:
            return work(*arguments, processes=self, **own)
        with _naming_the_lost():
            self._sent((work, arguments))
            return work(*arguments, processes=self, **own)

    def follow(self) -> None:
        """Does what rank 0 calls, until it dismisses its followers. Raises PymkError if another process is lost."""
        with _naming_the_lost():
            while (call := self._received()) is not None:
                work, arguments = call
                del call
                work(*arguments, processes=self)
                del arguments

    def dismiss(self) -> None:
        """Lets the followers end."""
        if self.count > 1:
            with _naming_the_lost():
                self._sent(None)

    def _sent(self, message: T) -> T:
        parts = packed(message)
        dist.broadcast_object_list([[len(part) for part in parts]], src=0, group=self.waits)
        for part in parts:
            self._broadcast(part)
        return message

    def _received(self) -> Any:
        sizes: list[Any] = [None]
        dist.broadcast_object_list(sizes, src=0, group=self.waits)
        parts = [np.empty(size, np.uint8) for size in sizes[0]]
        for part in parts:
            self._broadcast(part)
        return unpacked(parts)

    def _broadcast(self, part: Bytes) -> None:
        with catch_warnings():
            simplefilter("ignore", UserWarning)  # rank 0 only reads its part, which may be read-only
            memory = torch.from_numpy(part)
        for start in range(0, len(part), AT_ONCE):
            dist.broadcast(memory[start : start + AT_ONCE], src=0, group=self.waits)


ALONE = Processes()
"""a training in this process alone"""


class _Whole(torch.autograd.Function):
    """Rows of all processes; backwards, the sum of all gradients of the own rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, processes: Processes, n: int) -> Tensor:
        ctx.processes, ctx.n = processes, n
        return processes.whole(own, n)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        gradient = gradient.contiguous()
        dist.all_reduce(gradient, group=ctx.processes.gathers)
        return gradient[ctx.processes.own(ctx.n)], None, None


class _Forward(nn.Module):
    """A function of a model as a module, as DistributedDataParallel wants it."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *arguments: Any) -> Any:
        return self.function(*arguments)


@contextmanager
def _naming_the_lost() -> Iterator[None]:
    """Raises PymkError in place of what torch.distributed raises if a process is lost."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(word in str(error) for word in LOST):
            raise
        raise PymkError(
            "another process of this training has ended or does not answer, so this one ends too; "
            "the same command goes on from the last checkpoint"
        ) from error
