"""The viewers that `pymk recommend` is asked for, checked without loading what makes lists."""

from pathlib import Path

from models.errors import UsageError
from models.schema.columns import user_id_fault
from models.schema.vocabulary import UserId
from models.settings import Settings
from models.system.known_names import unknown_name

_STDIN = Path("-")


def chosen_viewers(settings: Settings, users: Path | None, *, everyone: bool, context: str) -> list[UserId] | None:
    """The user ids of the file `users`, `-` for stdin; None for everybody.

    Raises UsageError for arguments that do not fit together, an unknown context and a file that cannot be read.
    """
    if everyone == (users is not None):
        raise UsageError("name the viewers: either --users FILE or --all")
    if context not in settings.all_contexts:
        said = unknown_name(context, "context", settings.all_contexts)
        raise UsageError(f"--context {context} {said} (PYMK_CONTEXTS adds more)")
    if users is None:
        return None
    return read_user_ids(Path("/dev/stdin") if users == _STDIN else users)


def read_user_ids(path: Path) -> list[UserId]:
    """The user ids of a file, one a line; blank lines are skipped.

    Raises UsageError if the file cannot be read, or for the first line that is no user id.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"--users {path} cannot be read: {error.strerror}") from error
    user_ids = []
    for number, line in enumerate(lines, 1):
        try:
            user_id = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}, line {number}: is not UTF-8") from error
        if not user_id.strip():
            continue
        if fault := user_id_fault(user_id):
            raise UsageError(f"{path}, line {number}: {user_id!r} {fault}")
        user_ids.append(UserId(user_id))
    return user_ids
