"""Python values as bytes for other processes of the same training; arrays are neither copied nor joined."""

import io
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bytes = NDArray[np.uint8]


def packed(message: object) -> list[Bytes]:
    """The message in parts, each (bytes,) uint8: the first describes it, the others are the memory of its arrays."""
    buffers: list[pickle.PickleBuffer] = []
    body = io.BytesIO()
    _Pickler(body, protocol=5, buffer_callback=buffers.append).dump(message)
    return [np.frombuffer(part, np.uint8) for part in (body.getbuffer(), *(one.raw() for one in buffers))]


def unpacked(parts: Sequence[Bytes]) -> Any:
    """The message of these parts, whose memory its arrays go on using.

    Pickle runs what it reads: the parts must come from a process of the same training, as they do in torch.distributed.
    """
    return pickle.loads(parts[0].data, buffers=[part.data for part in parts[1:]])  # noqa: S301 - see the docstring


class _Pickler(pickle.Pickler):
    """Pickles tensors of the CPU as arrays, whose memory stays out of the stream."""

    def reducer_override(self, value: Any) -> Any:
        """How a tensor is made again; everything else as usual."""
        plain = type(value) is Tensor and value.device.type == "cpu" and value.layout == torch.strided
        if not plain or value.requires_grad or value.dtype == torch.bfloat16:
            return NotImplemented
        return torch.from_numpy, (np.ascontiguousarray(value.numpy()),)
