"""Envelopes: what is read was written so, or is not read at all."""

from __future__ import annotations

import math
import os
import pickle
import struct
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloflight._tiers import envelope as room
from soloflight._tiers.codec import Coder, PickleCodec
from soloflight._tiers.envelope import HEADER, MOST, Envelope, pack, token_of, unpack
from soloflight._tiers.errors import pack_error, unpack_error

TOKEN = bytes(range(16))
SCHEMA = b"abcd"
KEY = b"k" * 32

seconds = st.one_of(st.just(math.inf), st.floats(0, allow_nan=False))
envelopes = st.builds(
    Envelope,
    st.binary(min_size=16, max_size=16),
    seconds,
    seconds,
    seconds,
    st.booleans(),
    st.one_of(
        st.binary(max_size=50), st.integers(4090, 4100).map(bytes), st.just(os.urandom(4200))
    ),
)


def of(payload: bytes = b"value", is_error: bool = False) -> Envelope:
    return Envelope(TOKEN, 5.0, math.inf, 0.25, is_error, payload)


@given(envelopes, st.integers(0, 255), st.binary(min_size=4, max_size=4), st.booleans())
def test_what_was_put_in_is_taken_out(
    envelope: Envelope, codec: int, schema: bytes, compress: bool
) -> None:
    data = pack(envelope, codec, schema, compress=compress)
    assert unpack(data, codec, schema) == envelope
    assert token_of(data) == envelope.token


def test_the_header_is_what_scripts_in_a_store_read() -> None:
    """Each number is in its place: the Lua has these offsets, less one."""
    data = pack(of(is_error=True), 3, SCHEMA)
    assert HEADER.size == 48
    assert data[:2] == b"s1"
    assert data[2:4] == b"\x03\x02"
    assert data[4:8] == SCHEMA
    assert data[8:24] == TOKEN
    assert struct.unpack(">d", data[24:32]) == (5.0,)
    assert struct.unpack(">d", data[32:40]) == (math.inf,)
    assert struct.unpack(">d", data[40:48]) == (0.25,)
    assert data[48:] == b"value"


@pytest.mark.parametrize("size", [4095, 4096])
@pytest.mark.parametrize("compress", [False, True])
def test_a_payload_is_compressed_where_that_is_worthwhile(size: int, compress: bool) -> None:
    data = pack(of(bytes(size)), 1, SCHEMA, compress=compress)
    assert (len(data) < size) is (compress and size >= 4096)
    assert (data[3] == 1) is (len(data) < size)


def test_a_payload_that_gets_no_smaller_is_left_alone() -> None:
    noise = os.urandom(5000)
    assert pack(of(noise), 1, SCHEMA, compress=True)[48:] == noise


def forged(payload: bytes, flags: int = 1) -> bytes:
    return HEADER.pack(b"s1", 1, flags, SCHEMA, TOKEN, 0.0, 0.0, 0.0) + payload


def test_what_would_become_too_large_is_not_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST == 64 * 2**20
    monkeypatch.setattr(room, "MOST", 10_000)
    assert unpack(forged(zlib.compress(bytes(10_000))), 1, SCHEMA) is not None
    assert unpack(forged(zlib.compress(bytes(10_001))), 1, SCHEMA) is None
    # Nor is it packed in a way that nobody would read.
    large = of(bytes(10_001))
    assert unpack(pack(large, 1, SCHEMA, compress=True), 1, SCHEMA) == large


def test_no_more_than_that_is_made_of_what_was_compressed() -> None:
    """A few bytes of zeros could become any number of them."""
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    tracemalloc.start()
    try:
        assert unpack(forged(bomb), 1, SCHEMA) is None
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"s1",
        b"s1" + bytes(45),
        b"s2" + pack(of(), 1, SCHEMA)[2:],
        pack(of(), 2, SCHEMA),
        pack(of(), 1, b"abce"),
        forged(b"value", flags=4),
        forged(b"value", flags=0x80),
        forged(b"value"),  # is not compressed
        forged(zlib.compress(b"value") + b"more"),
        forged(zlib.compress(b"value")[:-1]),
        *(
            HEADER.pack(b"s1", 1, 0, SCHEMA, TOKEN, *numbers)
            for numbers in [(math.nan, 0, 0), (0, math.nan, 0), (0, 0, math.nan)]
        ),
        *(
            HEADER.pack(b"s1", 1, 0, SCHEMA, TOKEN, *numbers)
            for numbers in [(-1, 0, 0), (0, -math.inf, 0), (0, 0, -0.5)]
        ),
    ],
)
def test_what_is_not_understood_is_a_miss(data: bytes) -> None:
    assert unpack(data, 1, SCHEMA) is None


@pytest.mark.parametrize("data", [b"", b"s1" + bytes(45), b"s2" + bytes(46)])
def test_what_is_no_envelope_has_no_version(data: bytes) -> None:
    assert token_of(data) == b""


def test_an_envelope_of_another_version_of_the_program_has_a_version() -> None:
    """So it can be named as the one that is of no use."""
    data = pack(of(), 1, b"efgh")
    assert unpack(data, 1, SCHEMA) is None
    assert token_of(data) == TOKEN


class Signed:
    """A function whose values are signed: whatever is wrong can be told."""

    def __init__(self) -> None:
        self.coder = Coder(PickleCodec(key=KEY), lambda: None)
        self.coder.prepare()

    def wrap(self, value: Any, compress: bool) -> bytes:
        payload = self.coder.encode(value)
        return pack(of(payload), self.coder.code, self.coder.schema, compress=compress)

    def read(self, data: bytes) -> Any:
        """The value, or None for a miss."""
        found = unpack(data, self.coder.code, self.coder.schema)
        if found is None:
            return None
        if found.is_error:
            failure = unpack_error(found.payload, self.coder.untyped)
            assert failure is None
            return None
        try:
            return self.coder.decode(found.payload)
        except Exception:
            return None


VALUES = [{"a": [1, 2, 3]}, list(range(3000))]


@pytest.mark.parametrize("value", VALUES, ids=["small", "large"])
@pytest.mark.parametrize("compress", [False, True])
def test_no_truncation_is_taken_for_the_value(value: Any, compress: bool) -> None:
    signed = Signed()
    data = signed.wrap(value, compress)
    assert signed.read(data) == value
    step = max(1, len(data) // 300)
    assert {str(signed.read(data[:end])) for end in range(0, len(data), step)} == {"None"}


@pytest.mark.parametrize("value", VALUES, ids=["small", "large"])
@pytest.mark.parametrize("compress", [False, True])
def test_no_bit_that_flips_changes_a_value(value: Any, compress: bool) -> None:
    signed = Signed()
    data = bytearray(signed.wrap(value, compress))
    for place in [*range(48), *range(48, len(data), max(1, len(data) // 200))]:
        for bit in range(8):
            data[place] ^= 1 << bit
            assert signed.read(bytes(data)) in (None, value), (place, bit)
            data[place] ^= 1 << bit


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@given(data=st.binary(max_size=300), head=st.booleans())
def test_anything_can_be_read(codec: str, data: bytes, head: bool) -> None:
    """What somebody has put there: it is a value, an error, or a miss."""
    if codec == "msgpack":
        pytest.importorskip("msgspec", reason="there is no wheel of msgspec for this Python")

    def load() -> dict[str, int]: ...

    coder = Coder(codec, load)
    coder.prepare()
    if head:
        start = HEADER.pack(b"s1", coder.code, data[0] & 3 if data else 0, coder.schema, *NUMBERS)
        data = start + data
    found = unpack(data, coder.code, coder.schema)
    if found is not None:
        unpack_error(found.payload, coder.untyped, [KeyError])


NUMBERS = (TOKEN, 0.0, 1.0, 2.0)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
@pytest.mark.parametrize("error", [KeyError("a"), RuntimeError(object())], ids=repr)
def test_an_error_is_never_taken_for_a_value(codec: str, error: Exception) -> None:
    """Should the flag that says so be lost."""
    if codec == "msgpack":
        pytest.importorskip("msgspec", reason="there is no wheel of msgspec for this Python")
    coder = Coder(codec, lambda: None)
    coder.prepare()
    payload = pack_error(error, coder.untyped)
    with pytest.raises(Exception):  # noqa: B017
        coder.decode(payload)


class Loaded(Exception):
    pass


def load_it() -> None:
    raise Loaded


class Bomb:
    def __reduce__(self) -> Any:
        return load_it, ()


@pytest.mark.parametrize("codec", ["json", "msgpack", PickleCodec(key=KEY)], ids=str)
@pytest.mark.parametrize("is_error", [False, True])
def test_no_pickle_is_loaded(codec: Any, is_error: bool) -> None:
    if codec == "msgpack":
        pytest.importorskip("msgspec", reason="there is no wheel of msgspec for this Python")
    coder = Coder(codec, lambda: None)
    coder.prepare()
    bomb = pickle.dumps(Bomb())
    if is_error:
        head = b'["builtins", "KeyError", "", false]\0'
        found = unpack_error(head + bomb, coder.untyped)
        assert found is not None
        assert found.exception is None
        found = unpack_error(head + PickleCodec(key=b"x" * 32).encode([]) + bomb, coder.untyped)
        assert found is not None
        assert found.exception is None
    for signature in (b"", bytes(32), bomb[:32]):
        with pytest.raises(Exception) as caught:
            coder.decode(signature + bomb)
        assert caught.type is not Loaded
