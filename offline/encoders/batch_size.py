"""How large a step may be, by the bytes that its backward pass would keep."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

PEAK = 2.5
"""memory of a step at most, as a multiple of what is kept for its backward pass: gradients and temporaries too"""
SMALLEST = 64


def kept_bytes(forward: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass, weights included; the same on every device."""
    seen: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        else:
            seen[id(tensor)] = tensor.values().nbytes * 3 if tensor.layout == torch.sparse_csr else 0
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        loss = forward()
    del loss
    return sum(seen.values())


def largest_batch(forward: Callable[[int], Tensor], most: int, budget: int) -> int:
    """The largest power of two, at most `most` and at least SMALLEST, whose step stays within `budget` bytes.

    `forward` is the loss of a step of so many friendships. Each size is tried by a forward pass alone, and no size
    beyond the first that would not fit four times over, so that the probe itself does not fill the memory.
    """
    size = SMALLEST
    while 2 * size <= most:
        needed = PEAK * kept_bytes(lambda tried=size: forward(tried))  # type: ignore[misc]
        # a step grows at most with the square of its friendships: doubling takes four times as much at worst
        if 4 * needed > budget and PEAK * kept_bytes(lambda tried=2 * size: forward(tried)) > budget:  # type: ignore[misc]
            break
        size *= 2
    return size
