"""Planes of bytes at the fewest bits: what the rows, sources and codes of a candidate block are packed as.

A plane is cut into chunks of CHUNK values. Each chunk keeps its least value and, of every value, the distance from it
at as many bits as the largest needs. Bits are stored in groups of four, two and one; of a group, the first bytes hold
the first values of the chunk in their lowest bits, the next values above them, so that a whole chunk is taken apart by
a few operations on many bytes at once.

A plane of few distinct values, such as a count on a logarithmic scale, is first replaced by their numbers, unless it
has to be rounded.

The bytes: for every plane a shift, to which 128 is added where its values are numbered; for each of these the number of
distinct values less one, and the values, ascending; for every plane and chunk the least value and the number of bits;
then the groups.
"""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

CHUNK = 256
MOST_SHIFT = 4
"""bits of a value that may be rounded away"""
NUMBERED = 128
MOST_DISTINCT = 64
"""distinct values that are numbered, at most"""

Bytes = NDArray[np.uint8]


@compiled()
def chunk_bytes(length: int, width: int) -> int:
    """Bytes of a chunk of so many values at `width` bits each."""
    if width == 8:
        return length
    size = 0
    if width & 4:
        size += (length + 1) // 2
    if width & 2:
        size += (length + 3) // 4
    if width & 1:
        size += (length + 7) // 8
    return size


@compiled()
def chunk_ranges(planes: Bytes, shifts: Bytes, least: Bytes, widths: Bytes) -> int:
    """Fills `least` and `widths` (P, chunks) for `planes` (P, m) rounded by `shifts` (P,); returns the bytes in all."""
    count, m = planes.shape
    chunks = widths.shape[1]
    size: int = count + 2 * count * chunks
    for plane in range(count):
        shift = shifts[plane]
        for chunk in range(chunks):
            start, end = chunk * CHUNK, min((chunk + 1) * CHUNK, m)
            low, high = np.uint8(255), np.uint8(0)
            for at in range(start, end):
                low, high = min(low, planes[plane, at]), max(high, planes[plane, at])
            least[plane, chunk] = low >> shift
            width, spread = 0, (high >> shift) - (low >> shift)
            while spread:
                width, spread = width + 1, spread >> 1
            widths[plane, chunk] = width
            size += chunk_bytes(end - start, width)
    return size


@compiled()
def number_values(planes: Bytes, distinct: Bytes) -> NDArray[np.int64]:
    """Replaces the values of planes (P, m) by their numbers where that takes fewer bytes.

    Fills the rows of `distinct` (P, MOST_DISTINCT) with the values, ascending; returns how many, (P,), 0 for a plane
    that is left as it is.
    """
    count, m = planes.shape
    chunks = (m + CHUNK - 1) // CHUNK
    sizes = np.zeros(count, np.int64)
    least, widths = np.empty((1, chunks), np.uint8), np.empty((1, chunks), np.uint8)
    none = np.zeros(1, np.uint8)
    for plane in range(count):
        there, number = np.zeros(256, np.bool_), np.zeros(256, np.uint8)
        for at in range(m):
            there[planes[plane, at]] = True
        found = 0
        for value in range(256):
            if there[value] and found < MOST_DISTINCT:
                distinct[plane, found] = value
                number[value] = found
            found += there[value]
        if found == 0 or found > MOST_DISTINCT:
            continue
        numbered = np.empty((1, m), np.uint8)
        for at in range(m):
            numbered[0, at] = number[planes[plane, at]]
        before = chunk_ranges(planes[plane : plane + 1], none, least, widths)
        if chunk_ranges(numbered, none, least, widths) + 1 + found < before:
            planes[plane] = numbered[0]
            sizes[plane] = found
    return sizes


@compiled()
def pack_within(planes: Bytes, codes: int, most: int) -> Bytes:
    """The bytes of `planes` (P, m), at most `most` of them if rounding the first `codes` planes can bring that about.

    Each step rounds away one bit more of the plane among these that takes the most bits, down to MOST_SHIFT bits less.
    Where no other is left, numbered planes get their values back and are rounded too. Writes into `planes`.
    """
    count, m = planes.shape
    chunks = (m + CHUNK - 1) // CHUNK
    shifts, distinct = np.zeros(count, np.uint8), np.empty((count, MOST_DISTINCT), np.uint8)
    least, widths = np.empty((count, chunks), np.uint8), np.empty((count, chunks), np.uint8)
    # fewer bits without loss, and then with it
    sizes = number_values(planes, distinct)
    beside = sizes.sum() + (sizes > 0).sum()
    size = beside + chunk_ranges(planes, shifts, least, widths)
    while size > most:
        widest, bits = -1, 0
        for plane in range(codes):
            taken = 0
            for chunk in range(chunks):
                taken += widths[plane, chunk]
            if taken > bits and shifts[plane] < MOST_SHIFT and not sizes[plane]:
                widest, bits = plane, taken
        if widest < 0:
            numbered = _widest_numbered(widths, sizes, codes)
            if numbered < 0:
                break
            for at in range(m):
                planes[numbered, at] = distinct[numbered, planes[numbered, at]]
            beside -= sizes[numbered] + 1
            sizes[numbered] = 0
            size = beside + chunk_ranges(planes, shifts, least, widths)
            continue
        shifts[widest] += np.uint8(1)
        size = beside + chunk_ranges(planes, shifts, least, widths)
    packed = np.empty(size, np.uint8)
    pack_planes(planes, shifts, distinct, sizes, least, widths, packed)
    return packed


@compiled()
def _widest_numbered(widths: Bytes, sizes: NDArray[np.int64], codes: int) -> int:
    """The numbered plane among the first `codes` that takes the most bits, -1 for none."""
    widest, bits = -1, 0
    for plane in range(codes):
        taken = 0
        for chunk in range(widths.shape[1]):
            taken += widths[plane, chunk]
        if taken > bits and sizes[plane]:
            widest, bits = plane, taken
    return widest


@compiled()
def pack_planes(
    planes: Bytes,
    shifts: Bytes,
    distinct: Bytes,
    sizes: NDArray[np.int64],
    least: Bytes,
    widths: Bytes,
    packed: Bytes,
) -> None:
    """Writes `planes` (P, m), rounded by `shifts`, as `number_values` and `chunk_ranges` found, into `packed`."""
    count, m = planes.shape
    chunks = widths.shape[1]
    # ranges
    at_out = 0
    for plane in range(count):
        packed[at_out] = shifts[plane] + (NUMBERED if sizes[plane] else 0)
        at_out += 1
    for plane in range(count):
        if sizes[plane]:
            packed[at_out] = sizes[plane] - 1
            packed[at_out + 1 : at_out + 1 + sizes[plane]] = distinct[plane, : sizes[plane]]
            at_out += 1 + sizes[plane]
    for plane in range(count):
        for chunk in range(chunks):
            packed[at_out], packed[at_out + 1] = least[plane, chunk], widths[plane, chunk]
            at_out += 2
    # groups of bits
    above = np.empty(CHUNK, np.uint8)
    for plane in range(count):
        for chunk in range(chunks):
            start = chunk * CHUNK
            length = min(start + CHUNK, m) - start
            for at in range(length):
                above[at] = (planes[plane, start + at] >> shifts[plane]) - least[plane, chunk]
            at_out = _put_chunk(above[:length], widths[plane, chunk], packed, at_out)


@compiled()
def _put_chunk(values: Bytes, width: int, packed: Bytes, at_out: int) -> int:
    """Writes values at `width` bits each from `at_out` on; returns where they end."""
    length = len(values)
    if width == 8:
        packed[at_out : at_out + length] = values
        return at_out + length
    taken = 0
    for bits in (4, 2, 1):
        if width & bits:
            each = 8 // bits
            size = (length + each - 1) // each
            mask = (1 << bits) - 1
            packed[at_out : at_out + size] = 0
            for at in range(length):
                value = (values[at] >> taken) & mask
                packed[at_out + at % size] |= np.uint8(value << (bits * (at // size)))
            at_out += size
            taken += bits
    return at_out


@compiled()
def _ranges_at(packed: Bytes, count: int, m: int) -> int:
    """Where the ranges of `count` planes (m,) begin, or -1 if the bytes are not as many as they should be."""
    chunks = (m + CHUNK - 1) // CHUNK
    ranges = count
    if len(packed) < ranges:
        return -1
    for plane in range(count):
        if packed[plane] & (NUMBERED - 1) > MOST_SHIFT:
            return -1
        if packed[plane] & NUMBERED:
            if ranges >= len(packed):
                return -1
            ranges += 2 + packed[ranges]
    needed = ranges + 2 * count * chunks
    if len(packed) < needed:
        return -1
    for plane in range(count):
        for chunk in range(chunks):
            width = packed[ranges + 2 * (plane * chunks + chunk) + 1]
            if width > 8:
                return -1
            needed += chunk_bytes(min(CHUNK, m - chunk * CHUNK), width)
    return ranges if len(packed) == needed else -1


@compiled()
def unpack_planes(packed: Bytes, planes: Bytes) -> bool:
    """Fills `planes` (P, m) from what `pack_planes` wrote; False, and nothing filled, if the bytes are not that."""
    count, m = planes.shape
    chunks = (m + CHUNK - 1) // CHUNK
    ranges = _ranges_at(packed, count, m)
    if ranges < 0:
        return False
    at_in, numbers = ranges + 2 * count * chunks, count
    for plane in range(count):
        shift = packed[plane] & (NUMBERED - 1)
        for chunk in range(chunks):
            head = ranges + 2 * (plane * chunks + chunk)
            least, width, start = packed[head], packed[head + 1], chunk * CHUNK
            length = min(CHUNK, m - start)
            values = planes[plane, start : start + length]
            at_in = _take_chunk(packed, at_in, width, values)
            _lift(values, least, shift)
        if packed[plane] & NUMBERED:
            of_number = np.zeros(256, np.uint8)
            size = packed[numbers] + 1
            of_number[:size] = packed[numbers + 1 : numbers + 1 + size]
            for at in range(m):
                planes[plane, at] = of_number[planes[plane, at]]
            numbers += 1 + size
    return True


@compiled()
def _take_chunk(packed: Bytes, at_in: int, width: int, values: Bytes) -> int:
    """Fills `values` with those that `_put_chunk` wrote at `width` bits each; returns where they end."""
    length = len(values)
    if width == 8:
        values[:] = packed[at_in : at_in + length]
        return at_in + length
    if width == 0:
        values[:] = 0
    taken = 0
    for bits in (4, 2, 1):
        if width & bits:
            each = 8 // bits
            size = (length + each - 1) // each
            group = packed[at_in : at_in + size]
            mask, up = np.uint8((1 << bits) - 1), np.uint8(taken)
            for part in range(each):
                down, taking = np.uint8(bits * part), values[part * size : min((part + 1) * size, length)]
                if taken == 0:
                    for at in range(len(taking)):
                        taking[at] = (group[at] >> down) & mask
                else:
                    for at in range(len(taking)):
                        taking[at] |= ((group[at] >> down) & mask) << up
            at_in += size
            taken += bits
    return at_in


@compiled()
def unpack_block(packed: Bytes, planes: Bytes, rows: NDArray[np.uint32]) -> int:
    """Fills `planes` (P, m) as `unpack_planes` does, and `rows` (m,) from the last three, lowest bytes first.

    Returns the largest row, 0 without any, or -1 if the bytes are not what was packed.
    """
    if not unpack_planes(packed, planes):
        return -1
    low, middle, high = planes[-3], planes[-2], planes[-1]
    largest = np.uint32(0)
    for at in range(len(rows)):
        row = np.uint32(low[at]) | (np.uint32(middle[at]) << np.uint32(8)) | (np.uint32(high[at]) << np.uint32(16))
        rows[at] = row
        largest = max(largest, row)
    return int(largest)


@compiled()
def _lift(values: Bytes, least: int, shift: int) -> None:
    """Adds the chunk's least value, and undoes the rounding: to the middle of what was rounded together."""
    low, up, half = np.uint8(least), np.uint8(shift), np.uint8((1 << shift) >> 1)
    if shift == 0:
        for at in range(len(values)):
            values[at] += low
        return
    for at in range(len(values)):
        values[at] = ((values[at] + low) << up) | half
