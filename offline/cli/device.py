"""The choices of `--device`."""

from enum import StrEnum


class Device(StrEnum):
    """Where networks are trained or timed; auto takes a GPU if there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"
