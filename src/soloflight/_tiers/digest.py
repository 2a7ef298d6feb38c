"""A key as bytes that every process writes alike, and the digest under which a store has it.

Keys that are equal give equal bytes, or an ``invalidate(True)`` would leave what ``f(1)`` stored;
keys that are not give others. So each kind has a tag, and says where it ends; numbers of any type
are one kind, as Python compares them; what only this process can tell apart is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from hashlib import blake2b
from math import isfinite
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

SIZE = 12
"""Bytes of a digest."""

DIGITS = 64
"""The most that a number may need, above and below its stroke: 1e300 has 301 of them."""

_LIMIT = 10**DIGITS
_PLACES = 212
"""Decimal places that a ratio of such numbers can have: 2 ** 212 still has 64 digits."""


def digest(name: str, version: str, generation: int, key: Hashable) -> bytes:
    """What stands for a key of a function in the store, in all processes.

    `name` is the function's, `version` the meaning of its values, `generation` the number of times
    that it was cleared. A key that does not travel is a ``TypeError``.
    """
    try:
        # One tuple: what keeps its parts apart is what keeps those of any key apart.
        text = canonical((name, version, generation, key))
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
    return blake2b(text, digest_size=SIZE).digest()


def canonical(key: Hashable) -> bytes:
    """The bytes of a key: the same for keys that are equal, and only for those."""
    return _WRITERS.get(type(key), _other)(key)


def _refused(what: str) -> TypeError:
    return TypeError(f"{what} cannot be part of a key that processes share; give key= or ignore=")


def _other(key: Any) -> bytes:
    """What is of a subclass, or of no kind that travels.

    A subclass that compares as its base does is written like it, by the methods of the base: its
    own may show something else (the ``str`` of an enum).
    """
    cls = type(key)
    for base in cls.__mro__:
        if base in _WRITERS:
            return _WRITERS[base](key)
        if "__eq__" in vars(base) or "__hash__" in vars(base):
            break  # what it is equal to is for itself to know
    # With the module: numpy has a class that is called ``bool``.
    raise _refused(f"an object of class {cls.__module__}.{cls.__qualname__}")


# ---- texts


def _text(text: str) -> bytes:
    # Halves of surrogate pairs may be part of a key as well (file names have them).
    data = str.encode(text, "utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data)


def _bytes(data: bytes) -> bytes:
    data = bytes.__getitem__(data, slice(None))
    return b"b%d:%b" % (len(data), data)


# ---- numbers: what is equal is one, of whatever type


def _int(number: int) -> bytes:
    number = int.__index__(number)
    if not -_LIMIT < number < _LIMIT:
        raise _refused(f"a number of more than {DIGITS} digits")
    return b"i%d;" % number


def _ratio(above: int, below: int) -> bytes:
    """A fraction in its lowest terms."""
    if below == 1:
        return _int(above)
    return _int(above)[:-1] + b"/" + _int(below)[1:]


def _float(number: float) -> bytes:
    if isfinite(number):
        return _ratio(*float.as_integer_ratio(number))
    return _endless(float.__repr__(number))


def _endless(text: str) -> bytes:
    """Infinity, which is equal to itself; or what is not a number, and equals nothing."""
    if text.lower() not in ("inf", "-inf", "infinity", "-infinity"):
        raise _refused("nan, which is not equal to itself,")
    return b"i-x;" if text[0] == "-" else b"ix;"


def _decimal(number: Decimal) -> bytes:
    sign, digits, exponent = Decimal.as_tuple(number)
    if isinstance(exponent, str):  # no number of places: "F", or one of those that are nan
        return _endless(Decimal.__str__(number))
    text = "".join(map(str, digits)).rstrip("0")
    if not text:
        return _int(0)
    exponent += len(digits) - len(text)
    digits = digits[: len(text)]
    # Before it is worked out: 1E+999999 takes a while. (More digits and places than these cannot
    # become a ratio of short numbers, however it is reduced.)
    if len(digits) > DIGITS + _PLACES or not -_PLACES <= exponent <= DIGITS:
        raise _refused(f"a number of more than {DIGITS} digits")
    return _ratio(*Decimal((sign, digits, exponent)).as_integer_ratio())


def _fraction(number: Fraction) -> bytes:
    return _ratio(number.numerator, number.denominator)


def _complex(number: complex) -> bytes:
    real, imaginary = number.real, number.imag
    return b"c" + _float(real) + _float(imaginary) if imaginary else _float(real)


# ---- time

_DAY = 86_400 * 10**6
_MICROSECOND = timedelta(microseconds=1)


def _timedelta(span: timedelta) -> bytes:
    return b"t%d;" % timedelta.__floordiv__(span, _MICROSECOND)


def _date(day: date) -> bytes:
    return b"d%d;" % date.toordinal(day)


def _time(clock: time) -> bytes:
    since, offset = _since_midnight(clock), time.utcoffset(clock)
    if offset is None:
        return b"h%d;" % since
    return b"H%d;" % (since - offset // _MICROSECOND)


def _since_midnight(clock: time) -> int:
    seconds = (clock.hour * 60 + clock.minute) * 60 + clock.second
    return seconds * 10**6 + clock.microsecond


def _datetime(moment: datetime) -> bytes:
    """Without a zone what its clock shows, else the moment itself, in UTC.

    Python's own rules: of one zone, what shows the same time is equal, whatever its ``fold``; and
    where the time depends on the fold, it is equal to nothing of another zone.
    """
    day, clock = datetime.date(moment), datetime.timetz(moment)  # plain ones, of a subclass too
    since = date.toordinal(day) * _DAY + _since_midnight(clock)
    zone, offset = clock.tzinfo, datetime.utcoffset(moment)
    if offset is None:
        return b"m%d;" % since
    if type(zone) is not timezone:
        folded = datetime.combine(day, clock.replace(fold=1 - clock.fold))
        if datetime.utcoffset(folded) != offset:  # the clock was put back there, or forward
            if type(zone) is not ZoneInfo or zone.key is None:
                raise _refused("a time at which the clock is changed")
            return b"z%d;%b" % (since, _text(zone.key))
    return b"M%d;" % (since - offset // _MICROSECOND)


# ---- what has a name


def _type(cls: type) -> bytes:
    return b"T" + _named(cls)


def _enum(member: Enum) -> bytes:
    return b"e" + _named(type(member)) + _text(member._name_)


def _flag(member: Flag) -> bytes:
    # By value: a combination has no name of its own, before Python 3.11.
    return b"f" + _named(type(member)) + canonical(member._value_)


def _named(cls: type) -> bytes:
    """A class by its name. Where that does not lead to it, another one may have the same."""
    if cls in _NAMELESS:
        return _text("builtins") + _text(cls.__qualname__)
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    if found is not cls:
        raise _refused(f"{cls.__qualname__}, a class that {cls.__module__} does not have,")
    return _text(cls.__module__) + _text(cls.__qualname__)


_NAMELESS = {type(None), type(...)}
"""They are not in ``builtins``; `typed=True` makes keys of them."""


# ---- what has parts


def _tuple(parts: tuple[Any, ...]) -> bytes:
    writers, other = _WRITERS, _other
    written = [writers.get(type(part), other)(part) for part in tuple.__iter__(parts)]
    return b"(%b)" % b"".join(written)


def _frozenset(parts: frozenset[Any]) -> bytes:
    return b"{%b}" % b"".join(sorted(map(canonical, frozenset.__iter__(parts))))


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    str: _text,
    int: _int,
    tuple: _tuple,
    type(None): lambda nothing: b"N",
    type(...): lambda dots: b".",
    bool: _int,
    float: _float,
    Decimal: _decimal,
    Fraction: _fraction,
    complex: _complex,
    bytes: _bytes,
    date: _date,
    datetime: _datetime,
    time: _time,
    timedelta: _timedelta,
    UUID: lambda uuid: b"u" + uuid.bytes,
    frozenset: _frozenset,
    type: _type,
    Flag: _flag,
    Enum: _enum,
}
"""How each kind is written. Nothing that is written is the beginning of something else."""
