"""What an import read, chose, dropped and wrote."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Dropped:
    """Records of one kind that did not become part of the dataset."""

    reason: str
    count: int
    example: str
    """one of them, with its place in the source"""


@dataclass
class Report:
    """Filled while an import runs."""

    source: str
    read: dict[str, int] = field(default_factory=dict)
    """records read, by what they are"""
    choices: list[str] = field(default_factory=list)
    """what was guessed or chosen, one sentence each, with the flag that says otherwise"""
    dropped: list[Dropped] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)
    """rows by table"""
    columns: list[str] = field(default_factory=list)
    """the profile columns"""

    def count(self, what: str, records: int) -> None:
        """Adds to the records read."""
        self.read[what] = self.read.get(what, 0) + records

    def choose(self, sentence: str) -> None:
        """Adds a choice, once."""
        if sentence not in self.choices:
            self.choices.append(sentence)

    def drop(self, reason: str, count: int, example: str) -> None:
        """Adds dropped records; those of one reason are added up and keep their first example."""
        if not count:
            return
        for at, before in enumerate(self.dropped):
            if before.reason == reason:
                self.dropped[at] = Dropped(reason, before.count + count, before.example)
                return
        self.dropped.append(Dropped(reason, count, example))

    def lines(self, out: str) -> Iterator[str]:
        """The summary that a command prints, ending with the commands to run next."""
        yield f"read     {self.source}: {_counts(self.read)}"
        for sentence in self.choices:
            yield f"chose    {sentence}"
        for one in self.dropped:
            yield f"dropped  {one.reason}: {one.count:,}; first: {one.example}"
        yield f"wrote    {out}: {_counts(self.written)}"
        if self.columns:
            yield f"profile  {', '.join(self.columns)}"
        yield f"next     pymk check {out}       what each column is taken for, and what looks odd"
        yield f"         pymk nightly {out}     a published version with lists"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items()) or "nothing"
