"""What a version is made of, and whether its files are what they were."""

from collections.abc import Iterable
from datetime import datetime
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from models.errors import ArtefactError
from models.system import files

FILE_NAME = "manifest.json"
LAYOUT = 1
"""the layout of a version directory that this code writes; it reads this and every earlier one"""

VERSION_PATTERN = r"^\d{8}T\d{6}Z-[0-9a-f]{6}$"


def _inside(path: str) -> str:
    """Lets through relative paths that stay in their directory: a manifest may come from another host."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or str(parts) != path:
        raise ValueError(f"{path!r} is no path inside a version")
    return path


class FileRecord(BaseModel):
    """One file of a version."""

    model_config = ConfigDict(frozen=True)

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What one night published. Fields that this code does not know are left out, so that a version can be rolled
    back to by an older program."""

    model_config = ConfigDict(frozen=True)

    layout: Annotated[int, Field(ge=1, le=LAYOUT)] = LAYOUT
    """layout of the version directory"""

    version: Annotated[str, Field(pattern=VERSION_PATTERN)]
    """start of the run in UTC and six hexadecimal digits: sorts by age"""

    created_at: AwareDatetime
    """start of the run"""

    published_at: AwareDatetime | None = None
    """when it was first made active; None before"""

    cut: AwareDatetime
    """the last event it knows"""

    live_cut: Annotated[int, Field(ge=0)] | None = None
    """the stamp up to which it knows every live event, microseconds since 1970 UTC; None: it was made without any"""

    erasures: dict[str, int] = Field(default_factory=dict)
    """people erased after that stamp who are left out all the same: keyed hash of the id, and when, microseconds"""

    users: Annotated[int, Field(ge=0)]
    """n, rows 0 to n-1"""

    connections: Annotated[int, Field(ge=0)] = 0
    """undirected friendships"""

    git_commit: str | None = None
    """commit of the code that made it, where known"""

    package_version: str = Field(default_factory=lambda: metadata.version("pymk"))
    """release of the code that made it"""

    vocabulary: str | None = None
    """digest of the user ids: equal exactly where every row means the same person"""

    pair_features: tuple[str, ...] = ()
    """columns of a block's pair features, in order"""

    sources: tuple[str, ...] = ()
    """names of the source bits, lowest first"""

    ranker: dict[str, Any] = Field(default_factory=dict)
    """{"kind": "two_tower" | "resource_allocation", ...}"""

    metrics: dict[str, Any] = Field(default_factory=dict)
    """what the gate saw; report.json has it whole"""

    forced: bool = False
    """published against the gate's word"""

    dataset: dict[str, Any] = Field(default_factory=dict)
    """where it was read from, and what was dropped"""

    files: dict[Annotated[str, AfterValidator(_inside)], FileRecord] = Field(default_factory=dict)
    """every file but this one, by its path inside the version"""

    @property
    def cut_us(self) -> int:
        """The stamp after which live events are news to this version, microseconds since 1970 UTC."""
        return int(self.cut.timestamp()) * 1_000_000 if self.live_cut is None else self.live_cut

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The manifest of a version directory.

        Raises ArtefactError where it is missing, truncated, altered or of a later layout.
        """
        path = directory / FILE_NAME
        return cls.parse(files.read_bytes(path), str(path))

    @classmethod
    def parse(cls, content: bytes, origin: str) -> Self:
        """The manifest in these bytes; `origin` names them in the ArtefactError that they may raise."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise ArtefactError(f"{origin} cannot be read: {where}: {first['msg']}") from error

    def encode(self) -> bytes:
        """The manifest as indented JSON."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    def write(self, directory: Path) -> None:
        """Writes manifest.json, atomically."""
        files.write_bytes(directory / FILE_NAME, self.encode())

    def with_files(self, directory: Path) -> Self:
        """This manifest with the size and checksum of every file now below the directory."""
        return self.model_copy(update={"files": describe(directory)})

    def published(self, at: datetime) -> Self:
        """This manifest marked as published, where it was not yet."""
        return self if self.published_at else self.model_copy(update={"published_at": at})

    def verify(self, directory: Path, rooms: Iterable[str] = ()) -> None:
        """Compares size and SHA-256 of every file, or of those in the named subdirectories alone.

        Raises ArtefactError that names the first file found missing, truncated or altered.
        """
        wanted = tuple(f"{room}/" for room in rooms)
        for name, record in self.files.items():
            if wanted and not name.startswith(wanted):
                continue
            path = directory / name
            self._compare_size(path, record)
            if files.sha256(path) != record.sha256:
                raise ArtefactError(f"{path} is altered: its SHA-256 is not the one in {FILE_NAME} of {self.version}")

    def is_whole(self, directory: Path) -> bool:
        """Whether every file is there in its size; contents are not read."""
        try:
            for name, record in self.files.items():
                self._compare_size(directory / name, record)
        except ArtefactError:
            return False
        return True

    def _compare_size(self, path: Path, record: FileRecord) -> None:
        if not path.is_file():
            raise ArtefactError(f"{path} of version {self.version} is missing")
        if (size := path.stat().st_size) != record.bytes:
            raise ArtefactError(
                f"{path} has {size} bytes where {self.version} wrote {record.bytes}: truncated or altered"
            )


def describe(directory: Path) -> dict[str, FileRecord]:
    """Size and checksum of every file below a directory, by relative path, sorted.

    The manifest and hidden files are left out.
    """
    found = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and str(relative) != FILE_NAME and not path.name.startswith("."):
            found[relative.as_posix()] = FileRecord(bytes=path.stat().st_size, sha256=files.sha256(path))
    return found
