"""One word for one thing: names and metaphors that were replaced by the field's terms do not come back.

A word is looked for in one of six forms. `name`: any identifier, and the name of a file or folder. `part`: one of the
words that an identifier is made of, parted at underscores and capitals. `definition`: the name of a class or function.
`field`: a name assigned or annotated in the body of a class. `module`: the name of a file. `text`: a word in a
docstring, a comment or another string, and in a document that describes the code as it is. Words that are ordinary
English, or an ordinary identifier, are looked for in the form and the rooms in which they named something of ours; the
reason stands above each.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.docs.documents import CURRENT

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "offline", "service", "tests")
PRODUCT = r"(models|offline|service)/"


class Rule(NamedTuple):
    words: str
    """old names, separated by spaces; regular expressions in the form `text`, separated by spaces too"""
    better: str
    """the terms of the field: one for each word, in their order, or all that the words stood for"""
    form: str = "name"
    where: str = ""
    """regular expression that the path of a file begins with; everywhere by default"""


RULES = (
    # recommend/: the four ways to a response; elsewhere the five are ordinary adjectives of lists and variables
    Rule(
        "kept ranked stale cold nothing",
        "from_cache, from_block, from_previous_version, from_cold_start, empty",
        "definition",
        "service/recommend/",
    ),
    # ordinary as a variable, the command and the folder; as a file they are one letter apart
    Rule("recommender", "online", "module"),
    Rule("recommend", "batch", "module"),
    Rule("recommendations", "api/recommendations", "module"),
    Rule("recommend_command", "batch_command"),
    Rule("KeptList", "CachedList"),
    # other classes State say what a server or an erasure is in, as the field does
    Rule("State", "CacheKey", "definition", "service/(ranking|recommend|state)/"),
    Rule("told_identity", "reasons_fingerprint"),
    # participles of ordinary variables elsewhere; `judged` also names settings of a night and columns of reports
    Rule(
        "judged _judged allowed placed",
        "score_and_filter, filter, refilter, rerank",
        "definition",
        "service/ranking/",
    ),
    # `rules` is ordinary English for what holds; in the service it named the settings of a re-ranking and the filters
    Rule("rules", "filters", where="service/"),
    Rule("rules", "filters", "module"),
    Rule("Verdicts", "FilterMasks"),
    Rule("sift Sifted", "apply_filters, Filtered"),
    # the preposition is a good name of a function that lays changes over what is stored
    Rule("over", "hidden_now", "field", "service/ranking/"),
    Rule("soft_rules SoftRules", "rerank, Reranker"),
    Rule("Turn", "Slate"),
    # a loop's turn, or that of coordinates, is ordinary in tests
    Rule("turn", "Slate, ViewerBatch, lock, slots, round, run_once", where=PRODUCT),
    Rule("LiveView", "ViewerState"),
    # participles of ordinary variables in tests (a block with its rows turned round)
    Rule("resolved turned reshaped", "from_record, relation_version, graph_changed_at", where=PRODUCT),
    # the verb of HTTP and of dictionaries is ordinary in a function's name; the field was a timestamp
    Rule("put", "profile_changed_at", "field", PRODUCT),
    Rule("PeopleNow PersonNow", "UserFlags, CurrentProfile"),
    Rule("Following bring begin_anew concerned", "LiveSync, catch_up, reset, preload_users"),
    # the first bytes of a record are its beginning; what a process holds since a reset is a generation
    Rule("beginning", "generation", where="service/"),
    Rule("rehearse rehearsal", "warm_up, warm-up"),
    Rule("Guest GuestSeat GuestBook", "OutOfGraphUser, AppendedRow, OutOfGraphUserBuilder"),
    Rule("guest seat", "user, appended row"),
    # a member of a group, a set or a queue is ordinary
    Rule("member", "existing_user", "definition", "models/candidates/"),
    Rule("Landscape landscape", "CandidateInputs, inputs"),
    Rule("World", "CandidateArrays; in tests a harness"),
    Rule("Reach", "SourceLimits"),
    Rule(
        "perspective survey Surroundings Reference",
        "build_candidates, graph_features, GraphFeatures, SpectralReference",
    ),
    Rule("Circle Half circle", "Neighbourhood, ReciprocalUpdate, neighbourhood"),
    Rule("ties", "edges"),
    # a mark in general is ordinary (pytest.mark, a mark in a printed table); ours was an event's edge
    Rule("mark", "edge_event", where="(models|service)/(?!loadtest/)"),
    Rule("Mender mender called_for Waiting", "LogConsumer, consumer, needs_refresh, RefreshRequest"),
    # a network's layer hears its neighbours' messages, a fake server its commands
    Rule("heard", "on_entries", where="(models/event_log|service/worker)/"),
    Rule("Edition Maker VersionMaker", "LoadedVersion, CandidateGenerator, VersionGenerator"),
    # a row that is nobody's is another thing than the outcome of a refresh
    Rule("NOBODY", "UNKNOWN", "field", "models/candidate_refresh/"),
    Rule("floor", "retention watermark"),
    Rule("stamp", "timestamp_us"),
    # what a loop has seen is ordinary; as a file it was the deduplication of events
    Rule("seen", "deduplication", "module"),
    Rule("leftovers scrubbing", "interrupted_run, purge_records"),
    Rule("Lane lane _Wire greeting", "PipelinedReads, pipelined_reads, _Connection, handshake"),
    Rule("Patience patience", "Deadline, deadline"),
    Rule("corked tether Scratch", "coalesced_writes, parent_death, ArrayBuffers"),
    # a heap and lines of text are ordinary data; as files they named what manages memory and buffers the log
    Rule("heap lines", "malloc, buffered_log", "module"),
    Rule("Place", "StoreAddress; in tests a harness"),
    # failures that are counted are ordinary; as a file it was the mapping of errors
    Rule("failures", "error_mapping", "module"),
    Rule("Learnt learnt judging Judged trial", "ModelBundle, bundle, evaluate, CandidateSystem, backtest"),
    # a file in the making is ordinary; as a module it built a version
    Rule("making", "build_version", "module"),
    Rule("Population Parted more_hidings thin_hidings", "UserHistory, EdgeSplit, extra_splits, calibration_splits"),
    Rule("rise CHEAP_DEFAULT", "outcome_weight, DEFAULT_PRERANK_WEIGHTS"),
    # a request that was sent is asked (load test, store); a night's people are sampled. synth/ asks who invites whom.
    Rule("asked", "sampled_viewers", where="offline/(?!synth/)"),
    Rule("cheap", "prerank weights"),
    Rule("affinity", "profile_affinity"),
    Rule("ground fusing averaging", "shared_split, train, train_weighted_average"),
    # rows of arrays and tables are ordinary; as files the two were the variants and candidates of a comparison
    Rule("rows pools", "variants, shared_candidates", "module"),
    # ordinary for what has settled; as a function it shrinks coordinates towards a profile's
    Rule("settled", "shrink_towards_profile", "definition", "models/features/"),
    Rule("BELIEF", "PROFILE_PRIOR_FRIENDS"),
    Rule("campaign fleet tally", "runner, processes, counters"),
    # steps of a training or a night and moments in time are ordinary; `inference` is a command
    Rule("steps", "rate_search", "module"),
    Rule("inference", "type_inference, latency", "module"),
    Rule("moments", "timestamps", "module"),
    # words that identifiers of ours are no longer made of; `half`, `turn`, `told` and the like are ordinary there
    Rule("guest guests seats landscape landscapes perspective", "user, appended row, inputs, build_candidates", "part"),
    Rule("circle circles halves", "neighbourhood, reciprocal updates", "part"),
    Rule("stamp stamps floor floors", "timestamp, retention watermark", "part"),
    Rule("lane lanes corked tether patience", "pipelined reads, coalesced, parent death, deadline", "part"),
    Rule("leftover leftovers scrub scrubbing", "interrupted run, purge", "part"),
    Rule("mender rehearse rehearsal learnt", "consumer, warm-up, learned, trained", "part"),
    Rule("cheap", "prerank", "part"),
    Rule("EraseTurn", "RunOnce"),
    # metaphors in prose; `half`, `turn`, `judge`, `asked` and the like are ordinary there
    Rule("guests? seats?", "out-of-graph user, appended row", "text"),
    Rule("landscapes? perspectives? surroundings surveys?", "candidate inputs, graph features", "text"),
    Rule("worlds?", "candidate arrays", "text", "models/"),
    Rule("circles?", "neighbourhood", "text"),
    Rule("ties", "edges", "text", "(models/(live_state|event_log|candidate_refresh)|service)/"),
    Rule("menders? makers? editions?", "log consumer, generator, loaded version", "text"),
    Rule("floors?", "retention watermark", "text"),
    Rule("stamps?", "timestamp", "text"),
    Rule("lanes? patience greetings?", "pipelined reads, deadline, handshake", "text"),
    Rule(r"corked tether\w* scrub\w* leftovers?", "coalesced, tied, purged, interrupted run", "text"),
    Rule(r"rehears\w*", "warm-up", "text"),
    Rule("learnt", "learned, trained, the model bundle", "text"),
    Rule("trials? hidings", "backtest, edge split", "text"),
    Rule(r"ground", "shared split", "text", "offline/compare/"),
    Rule("cheap", "prerank", "text"),
    Rule("campaigns? fleets? tall(?:y|ies)", "run, processes, counters", "text"),
)


class Exempt(NamedTuple):
    word: str
    where: str
    """regular expression that is searched for in `path: line of code`"""
    reason: str


EXCEPTIONS = (
    Exempt("recommendations", r"^service/api/recommendations\.py", "the route's own name, which is contract"),
    Exempt("recommendations", r"^tests/api/test_recommendations\.py", "tests of that route"),
    Exempt("rules", r"^service/explain/(schema|explain)\.py", "field of the JSON of why, which is contract"),
    Exempt("ties", r"^(service|tests/unit/service)/explain/|^tests/api/test_explain", "field of the JSON of why"),
    Exempt("ties", r"^offline/evaluation/negatives\.py", "equal scores, as statistics calls them"),
    Exempt("floor", r"\bfloor\(|\.floor\b", "the function of math, NumPy and Polars"),
    Exempt("circle", r"^(tests/unit/)?offline/(synth|simulation)/", "social circle: McAuley and Leskovec, 2012"),
    Exempt("circles", r"^(tests/unit/)?offline/synth/", "social circle"),
    Exempt(
        "patience",
        r"^offline/((encoders|ranker|fusion)/|DATA\.md)",
        "early stopping's word, a setting of a night",
    ),
    Exempt("patience", r"^tests/.*patience(\"|=|\b.*early)", "the same setting, in tests"),
    Exempt("learnt", r"\blearnt/|[\"'/]learnt[\"']", "folder of a version, which is contract"),
    Exempt("cheap", r"cheap\\?\.npy", "file of a version, which is contract"),
    Exempt("cheap", r"\bcheap=|\.cheap\b|\bcheap: (Tensor|tuple)|\"cheap\"", "buffer and field of checkpoints"),
    Exempt("cheap", r"\"cheap score alone\"", "name of a row in the reports of evaluations"),
    Exempt("ground", r"ground\.json", "file of a comparison, which a resumed run reads"),
    Exempt("stamp", r"[\"']stamp[\"']", "field of entries in the store's streams, which is contract"),
    Exempt(
        "stamps", r"erasure(_receipts)?\.py: .*[\"']stamps[\"']", "field of a receipt in the store, which is contract"
    ),
    Exempt("floor", r"^(tests/(support|unit)/docs/|\.github/ARCHITECTURE)", "floor of rooms in the graph of imports"),
    Exempt("floors", r"^(tests/(support|unit)/docs/|\.github/ARCHITECTURE)", "floors of rooms"),
    Exempt("floor", r":floor[\"']", "key of the store, which is contract"),
)


class Use(NamedTuple):
    path: str
    line: int
    form: str
    word: str
    code: str
    """the line of code"""


def uses(path: str) -> Iterator[Use]:
    """Yields every word of a file in each of its forms."""
    source = (ROOT / path).read_text(encoding="utf-8")
    lines = source.splitlines() or [""]
    if path.endswith(".md"):
        for number, line in enumerate(lines, 1):
            yield from (Use(path, number, "text", word, line) for word in re.findall(r"\w+", line))
        return
    stem = Path(path).stem.removeprefix("test_")
    found = [(1, "module", stem), *((1, "name", part) for part in (*Path(path).parent.parts, stem))]
    for line, form, word in (*found, *tokens(source), *definitions(source)):
        yield Use(path, line, form, word, lines[line - 1])
        if form == "name":
            yield from (Use(path, line, "part", part.lower(), lines[line - 1]) for part in parts_of(word))


@cache
def parts_of(name: str) -> tuple[str, ...]:
    """The words that a name is made of."""
    return tuple(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+", name))


def tokens(source: str) -> Iterator[tuple[int, str, str]]:
    """Yields line, form and word of identifiers and of words in comments and strings."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "NAME":
            yield token.start[0], "name", token.string
        elif kind in {"STRING", "COMMENT", "FSTRING_MIDDLE"}:
            for number, line in enumerate(token.string.split("\n"), token.start[0]):
                yield from ((number, "text", word) for word in re.findall(r"\w+", line))


def definitions(source: str) -> Iterator[tuple[int, str, str]]:
    """Yields line, form and name of classes, functions and the fields of classes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, "definition", node.name
        for child in node.body if isinstance(node, ast.ClassDef) else ():
            targets = child.targets if isinstance(child, ast.Assign) else [getattr(child, "target", None)]
            yield from ((child.lineno, "field", one.id) for one in targets if isinstance(one, ast.Name))


def better_word(rule: Rule, word: str) -> str:
    """Returns the term that replaces a word; all of the rule's if they are not one for each."""
    words, terms = rule.words.split(), rule.better.split(", ")
    return terms[words.index(word)] if len(words) == len(terms) and word in words else rule.better


def is_distinct(word: str) -> bool:
    """Whether a name cannot be an English word, so that it is looked for in prose as well."""
    return word.isidentifier() and ("_" in word.strip("_") or bool(re.search("[a-z][A-Z]", word)))


@cache
def rules_of(form: str, word: str) -> tuple[Rule, ...]:
    """Returns the rules that a word in this form breaks, wherever they hold."""

    def breaks(rule: Rule) -> bool:
        if form == "text" == rule.form:
            return any(re.fullmatch(old, word, re.IGNORECASE) for old in rule.words.split())
        return word in rule.words.split() and (form == rule.form or (form == "text" and is_distinct(word)))

    return tuple(rule for rule in RULES if breaks(rule))


@cache
def findings() -> tuple[tuple[Use, str], ...]:
    """Every use of an old word with the better one, exceptions included."""
    files = [file.relative_to(ROOT).as_posix() for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    files += [document.relative_to(ROOT).as_posix() for document in CURRENT]
    own = Path(__file__).relative_to(ROOT).as_posix()
    found = [
        (use, better_word(rule, use.word))
        for path in sorted(files)
        if path != own
        for use in uses(path)
        for rule in rules_of(use.form, use.word)
        if re.match(rule.where, path)
    ]
    return tuple(dict.fromkeys(found))


def exempts(exempt: Exempt, use: Use) -> bool:
    is_word = exempt.word == use.word.lower()
    return is_word and bool(re.search(exempt.where, f"{use.path}: {use.code}"))


@pytest.mark.parametrize("package", [*PACKAGES, "documents"])
def test_old_names_are_gone(package: str) -> None:
    wrong = [
        f"{use.path}:{use.line}: {use.word} -> {better}"
        for use, better in findings()
        if package == ("documents" if use.path.endswith(".md") else use.path.split("/")[0])
        and not any(exempts(one, use) for one in EXCEPTIONS)
    ]
    assert not wrong, f"{len(wrong)} old names:\n" + "\n".join(dict.fromkeys(wrong))


def test_a_name_is_parted_at_underscores_and_capitals() -> None:
    assert parts_of("_remove_leftovers") == ("remove", "leftovers")
    assert parts_of("TestEraseTurn2") == ("Test", "Erase", "Turn")
    assert parts_of("HTTPServer") == ("HTTP", "Server")


def test_every_exception_is_needed() -> None:
    unused = [one for one in EXCEPTIONS if not any(exempts(one, use) for use, _ in findings())]
    assert not unused, "take these exceptions out"
