"""All exceptions that this project raises on purpose.

    PymkError                      exit status 1 unless stated otherwise
    ├── UsageError                 exit status 2: a wrong flag, setting or key
    │   └── DatasetError           the dataset directory is invalid; names file, line, column and value
    ├── GateRefusedError           exit status 3: the quality gate refused to publish
    ├── ArtefactError              a file of a version is missing, truncated or altered
    ├── CorruptRecordError         a packed record of the store cannot be read
    ├── VersionError               no such version, or it cannot be activated
    ├── DiskFullError              a disk or a quota is full; nothing half-made is left
    └── StoreError                 the store cannot be used
        ├── StoreUnavailableError  it does not answer in time, or is no primary
        └── StoreRefusedError      it rejects the operation (full, denied)

A message says what happened, to what, and what to do.
"""


class PymkError(Exception):
    """Base of the errors that the command line shows as one line."""

    exit_status = 1


class UsageError(PymkError):
    """A flag, a setting or an argument is wrong."""

    exit_status = 2


class DatasetError(UsageError):
    """The dataset directory is invalid."""


class GateRefusedError(PymkError):
    """The quality gate refused to publish."""

    exit_status = 3


class ArtefactError(PymkError):
    """A file of a version is missing, truncated or altered."""


class CorruptRecordError(PymkError):
    """A packed record is truncated, altered or of an unknown layout."""


class VersionError(PymkError):
    """A version does not exist or cannot be activated."""


class DiskFullError(PymkError):
    """A disk or a quota is full."""

    def __init__(self, message: str, *, is_complete: bool = False) -> None:
        super().__init__(message)
        self.is_complete = is_complete
        """whether the message says what to clear"""


class StoreError(PymkError):
    """The store cannot be used.

    `public_message` is for clients of the service. It lacks the address of the store and its answer, which are for the
    operator.
    """

    def __init__(self, message: str, public_message: str | None = None) -> None:
        super().__init__(message)
        self.public_message = message if public_message is None else public_message


class StoreUnavailableError(StoreError):
    """The store does not answer in time."""


class StoreRefusedError(StoreError):
    """The store answers and rejects the operation."""
