"""Everything this project raises on purpose.

    PymkError                      exit status 1 unless said otherwise
    ├── UsageError                 exit status 2: a wrong flag, setting or key
    │   └── DatasetError           the dataset directory is wrong; names file, line, column and value
    ├── GateRefusedError           exit status 3: the quality gate refused to publish
    ├── ArtefactError              a file of a version is missing, truncated or altered
    ├── CorruptRecordError         a packed record of the store does not read back
    ├── VersionError               no such version, or it cannot be activated
    └── StoreError                 the store cannot be used
        ├── StoreUnavailableError  it does not answer in time
        └── StoreRefusedError      it answers that it will not write (full, read-only, no persistence)

A message says what happened, to what, and what to do about it.
"""


class PymkError(Exception):
    """Root of the errors that a person is shown as one line."""

    exit_status = 1


class UsageError(PymkError):
    """A flag, a setting or an argument is wrong."""

    exit_status = 2


class DatasetError(UsageError):
    """The dataset directory cannot be used as it is."""


class GateRefusedError(PymkError):
    """The quality gate refused to publish."""

    exit_status = 3


class ArtefactError(PymkError):
    """A file of a version is missing, truncated or altered."""


class CorruptRecordError(PymkError):
    """A packed record does not read back."""


class VersionError(PymkError):
    """A version does not exist or cannot be activated."""


class StoreError(PymkError):
    """The store cannot be used.

    `told` says so to whoever calls the service: without where the store is and what it answered, which are the
    operator's to know.
    """

    def __init__(self, message: str, told: str | None = None) -> None:
        super().__init__(message)
        self.told = message if told is None else told


class StoreUnavailableError(StoreError):
    """The store does not answer in time."""


class StoreRefusedError(StoreError):
    """The store answers and will not write."""
