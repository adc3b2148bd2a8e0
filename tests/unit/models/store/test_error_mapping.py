"""What a person is told when a command fails."""

import errno

import pytest
from pydantic import BaseModel, ValidationError

from models.cli.exit_status import Failure
from models.errors import (
    DatasetError,
    GateRefusedError,
    PymkError,
    StoreUnavailableError,
)
from models.settings import Settings


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PymkError("a"), 1),
        (StoreUnavailableError("a"), 1),
        (DatasetError("a"), 2),
        (GateRefusedError("a"), 3),
        (OSError("a"), 1),
    ],
)
def test_each_kind_has_its_status(error: Exception, status: int) -> None:
    assert Failure.of(error).exit_status == status


def test_a_message_is_one_line() -> None:
    assert Failure.of(PymkError("the store\n  said no")).line == "the store said no"
    assert Failure.of(KeyError("row")).line == "KeyError: 'row' (--debug shows where)"


def test_the_operating_system_is_quoted_with_the_path() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert Failure.of(full).line == "No space left on device (make room and run it again)"
    locked = PermissionError(errno.EACCES, "Permission denied", "/data/users.csv")
    assert Failure.of(locked).line == "/data/users.csv: Permission denied (--debug shows where)"


def _error_of(**settings: object) -> Exception:
    with pytest.raises(ValidationError) as caught:
        Settings(**settings)  # type: ignore[arg-type]
    return caught.value


def test_a_wrong_setting_is_named_and_its_value_is_not_repeated() -> None:
    failure = Failure.of(_error_of(redis_timeout_ms="hunter2", namespace="hunter2 "))
    assert failure.exit_status == 2
    assert "PYMK_REDIS_TIMEOUT_MS: input should be a valid integer" in failure.line
    assert "PYMK_NAMESPACE: " in failure.line
    assert "hunter2" not in failure.line


def test_an_unknown_setting_is_named() -> None:
    assert Failure.of(_error_of(hom="x")).line == "there is no setting 'hom'"


def test_another_model_that_does_not_fit_is_no_usage_error() -> None:
    class Something(BaseModel):
        n: int

    with pytest.raises(ValidationError) as caught:
        Something.model_validate({})
    assert Failure.of(caught.value).exit_status == 1
