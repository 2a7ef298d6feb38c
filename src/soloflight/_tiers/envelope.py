"""What a store keeps for a key: a header of 48 bytes, and a value or an error as bytes.

    s1 | codec 1 | flags 1 | schema 4 | token 16 | swr 8 | sie 8 | cost 8 | payload

Numbers are big-endian doubles: scripts in a store read the windows too, and infinity is one. What
is in here lasts longer than a deploy, so whoever reads it expects anything: what is not understood
is a miss. Deadlines are not in it, as clocks differ: the store knows how long a key has left.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

HEADER = struct.Struct(">2sBB4s16sddd")
MAGIC = b"s1"

COMPRESSED, ERROR = 1, 2
"""The flags."""

WORTHWHILE = 4096
"""Bytes of a payload from which on it may be compressed."""

MOST = 64 * 2**20
"""Bytes of a payload that was compressed. A few bytes could become any number of them."""


class Envelope(NamedTuple):
    token: bytes
    """Of the lease under which it was stored: its version."""
    swr: float
    """Seconds for which it is served after it went stale, while one process loads."""
    sie: float
    """Seconds for which it is served then where a load fails."""
    cost: float
    """Seconds that its load took."""
    is_error: bool
    """Whether the payload is an exception, by `errors.pack_error`."""
    payload: bytes


def pack(envelope: Envelope, codec: int, schema: bytes, *, compress: bool = False) -> bytes:
    """The bytes of an envelope. `codec` and `schema` are those of a `Coder`."""
    token, swr, sie, cost, is_error, payload = envelope
    flags = ERROR if is_error else 0
    if compress and WORTHWHILE <= len(payload) <= MOST:
        smaller = zlib.compress(payload, 1)  # the fastest: callers wait for it
        if len(smaller) < len(payload):
            flags, payload = flags | COMPRESSED, smaller
    return HEADER.pack(MAGIC, codec, flags, schema, token, swr, sie, cost) + payload


def unpack(data: bytes, codec: int, schema: bytes) -> Envelope | None:
    """What is in an envelope; None where it is not of this codec and schema, or damaged.

    There is no sum over the payload: what can be told is what does not make sense.
    """
    if len(data) < HEADER.size:
        return None
    magic, its_codec, flags, its_schema, token, swr, sie, cost = HEADER.unpack_from(data)
    if (magic, its_codec, its_schema) != (MAGIC, codec, schema) or flags & ~(COMPRESSED | ERROR):
        return None
    if not (swr >= 0.0 and sie >= 0.0 and cost >= 0.0):  # nor is a nan
        return None
    payload = data[HEADER.size :]
    if flags & COMPRESSED:
        whole = _decompressed(payload)
        if whole is None:
            return None
        payload = whole
    return Envelope(token, swr, sie, cost, bool(flags & ERROR), payload)


def token_of(data: bytes) -> bytes:
    """The version of an envelope, readable or not; nothing where it is none."""
    if len(data) < HEADER.size or data[:2] != MAGIC:
        return b""
    return data[8:24]


def windows(data: bytes) -> tuple[bytes, float, float]:
    """The version of an envelope, and the seconds for which it is stale: served, and kept."""
    if len(data) < HEADER.size or data[:2] != MAGIC:
        return b"", 0.0, 0.0
    *_, token, swr, sie, _ = HEADER.unpack_from(data)
    return token, swr, max(swr, sie)


def _decompressed(payload: bytes) -> bytes | None:
    reader = zlib.decompressobj()
    try:
        whole = reader.decompress(payload, MOST + 1)
    except zlib.error:
        return None
    # It ends where its own sum says that it is whole, and nothing follows.
    if len(whole) > MOST or not reader.eof or reader.unused_data:
        return None
    return whole
