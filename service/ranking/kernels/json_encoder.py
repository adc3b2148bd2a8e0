"""The JSON of the people shown, byte by byte."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

Bytes = NDArray[np.uint8]

SHARED_AT_MOST = 3
"""shared values of one multi-valued column that reasons name at most"""
CATEGORY, SET = 0, 1
"""the kind of column of a viewer's value"""
FIXED = 512
"""bytes of an entry that are neither ids nor reasons by values, at most: names of fields, and numbers"""


def _text(text: str) -> Bytes:
    return np.frombuffer(text.encode(), dtype=np.uint8)


_USER, _SCORE, _POSITION = _text('{"user_id":"'), _text('","score":'), _text(',"position":')
_MUTUAL, _EXAMPLES = _text('{"code":"mutual_connections","count":'), _text(',"examples":[')
_TEXT, _MUTUALS, _ONE_MUTUAL = _text('],"text":"'), _text(' mutual connections"}'), _text(' mutual connection"}')
_END = _text("]}")
_COMMA, _QUOTE, _POINT, _ZERO, _MINUS, _E = (np.uint8(ord(character)) for character in ',".0-e')
_SHOWN_DIGITS = 6
_LEAST_FIXED = -4
_TENS = 10.0 ** np.arange(64)


@compiled()
def write(out: Bytes, at: int, text: Bytes, start: int, end: int) -> int:
    """Writes text[start:end] at a place; returns where it ends."""
    for byte in range(start, end):
        out[at] = text[byte]
        at += 1
    return at


@compiled()
def write_number(out: Bytes, at: int, number: int) -> int:
    """Writes a number, 0 or more, at a place; returns where it ends."""
    end, rest = at + 1, number
    while rest >= 10:
        rest //= 10
        end += 1
    for place in range(end - 1, at - 1, -1):
        out[place] = _ZERO + np.uint8(number % 10)
        number //= 10
    return end


@compiled()
def write_score(out: Bytes, at: int, score: float) -> int:
    """Writes a score from 0 to 1 at a place like "%.6g"; returns where it ends."""
    if not 0 < score < 1:  # NaN included
        return write_number(out, at, int(score >= 1))
    exponent = -1
    while score * _TENS[-exponent] < 1:
        exponent -= 1
    digits = int(np.rint(score * _TENS[_SHOWN_DIGITS - 1 - exponent]))
    if digits >= 10**_SHOWN_DIGITS:
        digits //= 10
        exponent += 1
    if exponent == 0:
        return write_number(out, at, 1)
    shown = _SHOWN_DIGITS
    while digits % 10 == 0:
        digits //= 10
        shown -= 1
    if exponent >= _LEAST_FIXED:
        out[at], out[at + 1] = _ZERO, _POINT
        at += 2
        for _ in range(-exponent - 1):
            out[at] = _ZERO
            at += 1
        return write_number(out, at, digits)
    first = digits
    for _ in range(shown - 1):
        first //= 10
    at = write_number(out, at, first)
    if shown > 1:
        out[at] = _POINT
        at += 1
        for place in range(shown - 2, -1, -1):
            at = write_number(out, at, digits // int(_TENS[place]) % 10)
    out[at], out[at + 1] = _E, _MINUS
    at += 2
    if exponent > -10:
        out[at] = _ZERO
        at += 1
    return write_number(out, at, -exponent)


@compiled()
def has(codes: NDArray[np.int32], start: int, end: int, code: int) -> bool:
    """Whether a code is in codes[start:end], which ascend."""
    for at in range(start, end):
        if codes[at] >= code:
            return bool(codes[at] == code)
    return False


@compiled()
def write_entries(
    rows: NDArray[np.uint32],
    scores: NDArray[np.float32],
    sources: NDArray[np.uint8],
    counts: NDArray[np.int64],
    examples: NDArray[np.int32],
    ids: Bytes,
    id_starts: NDArray[np.int64],
    source_text: Bytes,
    source_starts: NDArray[np.int64],
    own: NDArray[np.int32],
    own_text: Bytes,
    categories: NDArray[np.int32],
    set_indptr: NDArray[np.int64],
    set_codes: NDArray[np.int32],
    most_named: int,
    near: int,
    around: int,
    out: Bytes,
    ends: NDArray[np.uint32],
    places: NDArray[np.uint32],
) -> int:
    """Writes the entries of the people at `rows` (k,) into `out`, separated by commas, with positions from 1.

    Fills `ends` (k,) with where each entry ends, without its comma, and `places` (k,) with where its position begins;
    returns where all end. `scores` (k,) are 0-1. `counts` (k,) and `examples` are filled by
    service.ranking.kernels.mutual_friends, with `most_named` examples a person at most. `ids` are the ids as JSON
    without quotation marks, `source_text` is the text between position and reasons by source bits; both are cut at
    their starts. A person with the source bit `near` but no mutual connection that counts gets the bit `around`.

    `own` (w, 4) int32 are the viewer's values that reasons may name, in their order: CATEGORY or SET, the column, the
    code, and where the reason ends in `own_text`. `categories` (n, C), `set_indptr` and `set_codes` are the values of
    all users; SHARED_AT_MOST values of a column with sets become reasons.
    """
    at, named = 0, 0
    for person in range(len(rows)):
        row, count, bits = np.int64(rows[person]), counts[person], np.int64(sources[person])
        # user id, score, position, sources
        if person:
            out[at] = _COMMA
            at += 1
        at = write(out, at, _USER, 0, len(_USER))
        at = write(out, at, ids, id_starts[row], id_starts[row + 1])
        at = write(out, at, _SCORE, 0, len(_SCORE))
        at = write_score(out, at, np.float64(scores[person]))
        at = write(out, at, _POSITION, 0, len(_POSITION))
        places[person] = at
        at = write_number(out, at, person + 1)
        if count == 0 and bits & near:
            bits = bits & ~near | around
        at = write(out, at, source_text, source_starts[bits], source_starts[bits + 1])
        # the reason of mutual connections
        is_first = True
        if count:
            is_first = False
            at = write(out, at, _MUTUAL, 0, len(_MUTUAL))
            at = write_number(out, at, count)
            at = write(out, at, _EXAMPLES, 0, len(_EXAMPLES))
            for example in range(min(count, most_named)):
                if example:
                    out[at] = _COMMA
                    at += 1
                friend = np.int64(examples[named])
                named += 1
                out[at] = _QUOTE
                at = write(out, at + 1, ids, id_starts[friend], id_starts[friend + 1])
                out[at] = _QUOTE
                at += 1
            at = write(out, at, _TEXT, 0, len(_TEXT))
            at = write_number(out, at, count)
            at = (
                write(out, at, _ONE_MUTUAL, 0, len(_ONE_MUTUAL))
                if count == 1
                else write(out, at, _MUTUALS, 0, len(_MUTUALS))
            )
        # the reasons of shared values
        start, column, shared = 0, -1, 0
        for value in range(len(own)):
            kind, end = own[value, 0], own[value, 3]
            if kind == CATEGORY:
                is_shared = categories[row, own[value, 1]] == own[value, 2]
            else:
                if own[value, 1] != column:
                    column, shared = own[value, 1], 0
                is_shared = shared < SHARED_AT_MOST and has(
                    set_codes, set_indptr[row], set_indptr[row + 1], own[value, 2]
                )
                shared += is_shared
            if is_shared:
                if not is_first:
                    out[at] = _COMMA
                    at += 1
                is_first = False
                at = write(out, at, own_text, start, end)
            start = end
        at = write(out, at, _END, 0, len(_END))
        ends[person] = at
    return at
