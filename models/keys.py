"""The names of everything the store holds."""

from dataclasses import dataclass

CHUNK_BYTES = 1 << 20
"""files of a version stand in the store in pieces of this size"""


@dataclass(frozen=True, slots=True)
class Keys:
    """Key names under one namespace; the one place that spells them."""

    namespace: str

    @property
    def active(self) -> str:
        """JSON of models.publishing.ActivePointer: the version served, and what rollback goes back to. Never expires.

        Both in one key, so that they change in one step on a cluster too.
        """
        return f"{self.namespace}:active"

    @property
    def versions(self) -> str:
        """Set of the ids of which the store may hold something."""
        return f"{self.namespace}:versions"

    @property
    def lease(self) -> str:
        """Who may change what the store holds of versions, and until when."""
        return f"{self.namespace}:lease"

    @property
    def refresh(self) -> str:
        """Queue of the user ids that wait for a candidate block."""
        return f"{self.namespace}:refresh"

    @property
    def processes(self) -> str:
        """What the keys of all live processes begin with."""
        return f"{self.namespace}:process:"

    def process(self, name: str) -> str:
        """The version id that a live process serves; expires within seconds unless renewed."""
        return f"{self.processes}{name}"

    def version(self, version: str) -> str:
        """What all keys of a version begin with."""
        return f"{self.namespace}:v:{version}:"

    def manifest(self, version: str) -> str:
        """The manifest. Written last and removed last: a version without it is not wholly there."""
        return f"{self.version(version)}manifest"

    def block(self, version: str, row: int) -> str:
        """The candidate block of a row."""
        return f"{self.version(version)}b:{row}"

    def piece(self, version: str, file: str, chunk: int) -> str:
        """A piece of a file of the version, at most CHUNK_BYTES; `file` is its path in the version directory."""
        return f"{self.version(version)}t:{file}:{chunk}"

    def ranked_lists(self, version: str) -> str:
        """What the keys of a version's ranked lists begin with."""
        return f"{self.version(version)}l:"

    def ranked(self, version: str, row: int, context: str) -> str:
        """The ranked list of a viewer in a context. Always expires."""
        return f"{self.ranked_lists(version)}{row}:{context}"
