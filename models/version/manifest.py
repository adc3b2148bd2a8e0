"""The manifest of a version: its metadata, and the sizes and checksums of its files."""

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
"""the layout of a version directory that this code writes; it reads this and all earlier ones"""

VERSION_PATTERN = r"^\d{8}T\d{6}Z-[0-9a-f]{6}$"


def _inside(path: str) -> str:
    """The path, if it is relative and stays in its directory: a manifest may come from another host."""
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
    """What one night published. Unknown fields are ignored, so that an older release reads a later manifest."""

    model_config = ConfigDict(frozen=True)

    layout: Annotated[int, Field(ge=1, le=LAYOUT)] = LAYOUT
    """layout of the version directory"""

    version: Annotated[str, Field(pattern=VERSION_PATTERN)]
    """start of the run in UTC and six hexadecimal digits, so that ids sort by age"""

    created_at: AwareDatetime
    """start of the run"""

    published_at: AwareDatetime | None = None
    """when it was first made active; None before"""

    cut: AwareDatetime
    """the last event that it includes"""

    live_cut: Annotated[int, Field(ge=0)] | None = None
    """the timestamp up to which it includes live events, microseconds since 1970 UTC; None: it was built without any"""

    erasures: dict[str, int] = Field(default_factory=dict)
    """users erased after that timestamp and still left out: keyed hash of the id, and when, microseconds"""

    users: Annotated[int, Field(ge=0)]
    """n, rows 0 to n-1"""

    connections: Annotated[int, Field(ge=0)] = 0
    """undirected friendships"""

    git_commit: str | None = None
    """commit of the code that built it, if known"""

    package_version: str = Field(default_factory=lambda: metadata.version("pymk"))
    """release of the code that built it"""

    vocabulary: str | None = None
    """digest of the user ids: equal if and only if every row is the same user"""

    pair_features: tuple[str, ...] = ()
    """columns of a block's pair features, in order"""

    sources: tuple[str, ...] = ()
    """names of the source bits, lowest first"""

    ranker: dict[str, Any] = Field(default_factory=dict)
    """{"kind": "two_tower" | "resource_allocation", ...}; "outcomes" says what it learned from them, or why links alone
    rank"""

    metrics: dict[str, Any] = Field(default_factory=dict)
    """the figures of the gate; report.json has all"""

    delta_of: str | None = None
    """the version whose weights, vectors and untouched candidates a delta night kept; None: a whole night made it"""

    remade: int | None = None
    """people whose candidates a delta night made anew"""

    forced: bool = False
    """published although the gate refused"""

    dataset: dict[str, Any] = Field(default_factory=dict)
    """where it was read from, and what was dropped"""

    files: dict[Annotated[str, AfterValidator(_inside)], FileRecord] = Field(default_factory=dict)
    """every file but this one, by its path inside the version"""

    @property
    def cut_us(self) -> int:
        """The timestamp after which this version does not include live events, microseconds since 1970 UTC."""
        return int(self.cut.timestamp()) * 1_000_000 if self.live_cut is None else self.live_cut

    @classmethod
    def read(cls, directory: Path) -> Self:
        """The manifest of a version directory.

        Raises ArtefactError if it is missing, truncated, altered or of a later layout.
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
        """This manifest marked as published, if it was not yet."""
        return self if self.published_at else self.model_copy(update={"published_at": at})

    def verify(self, directory: Path, rooms: Iterable[str] = ()) -> None:
        """Compares size and SHA-256 of every file, or of those in the named subdirectories alone.

        Raises ArtefactError that names the first file found missing, truncated or altered.
        """
        prefixes = tuple(f"{room}/" for room in rooms)
        for name, record in self.files.items():
            if prefixes and not name.startswith(prefixes):
                continue
            path = directory / name
            self._compare_size(path, record)
            if files.sha256(path) != record.sha256:
                raise ArtefactError(f"{path} is altered: its SHA-256 is not the one in {FILE_NAME} of {self.version}")

    def is_whole(self, directory: Path) -> bool:
        """Whether every file exists with its size; contents are not read."""
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
            raise ArtefactError(f"{path} has {size} bytes; {self.version} wrote {record.bytes}: truncated or altered")


def describe(directory: Path) -> dict[str, FileRecord]:
    """Size and checksum of every file below a directory, by relative path, sorted.

    The manifest and hidden files are left out.
    """
    records = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and str(relative) != FILE_NAME and not path.name.startswith("."):
            records[relative.as_posix()] = FileRecord(bytes=path.stat().st_size, sha256=files.sha256(path))
    return records
