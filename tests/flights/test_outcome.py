"""An exception for each caller, where one object cannot be raised by several threads at a time."""

from __future__ import annotations

import gc
import sys
import traceback
import weakref
from dataclasses import dataclass
from typing import Any

import pytest

from conftest import Caller, Gate, herd, in_threads, until, waiters
from soloflight import Group, _outcome, singleflight
from soloflight._outcome import Error


class ByKeyword(Exception):
    made = 0

    def __init__(self, *, reason: str) -> None:
        type(self).made += 1
        super().__init__(f"because {reason}")
        self.reason = reason


class Retagged(OSError):
    def __init__(self, code: int, where: str) -> None:
        super().__init__(code, f"at {where}", where)


@dataclass(frozen=True)
class Frozen(Exception):
    code: int


class Stubborn(Exception):
    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("not for you")


@pytest.fixture(autouse=True)
def unshared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_outcome, "SHARED", False)


def raised(exception: Exception) -> Error:
    """The error of a load that raises it in an `except` and `from` another one."""
    try:
        try:
            raise KeyError("context")
        except KeyError:
            raise exception from ValueError("cause")
    except Exception as error:
        return Error(error, error.__traceback__)


@pytest.mark.parametrize(
    "exception",
    [
        LookupError("a", 1),
        FileNotFoundError(2, "No such file", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        SyntaxError("invalid", ("file", 1, 2, "text")),
        ByKeyword(reason="of that"),
        Retagged(5, "here"),
        Frozen(7),
    ],
    ids=lambda exception: type(exception).__name__,
)
def test_a_copy_tells_the_same(exception: Exception) -> None:
    made = ByKeyword.made
    error = raised(exception)
    copy = error.copy().exception
    assert copy is not exception
    assert type(copy) is type(exception)
    assert (str(copy), copy.args, vars(copy)) == (str(exception), exception.args, vars(exception))
    assert getattr(copy, "filename", None) == getattr(exception, "filename", None)
    told = traceback.format_exception(type(copy), copy, error.traceback)
    assert told == traceback.format_exception(type(exception), exception, error.traceback)
    assert ByKeyword.made == made, "the class's own __init__ is not asked again"


def test_what_cannot_be_copied_is_shared() -> None:
    error = raised(Stubborn())
    assert error.copy() is error


def test_what_is_kept_has_no_traceback_however_it_is_chained() -> None:
    error = raised(LookupError("a"))
    cause, context = error.exception.__cause__, error.exception.__context__
    assert cause is not None
    assert context is not None
    cause.__context__, context.__context__ = Stubborn(), error.exception  # a ring
    kept = error.bare().exception
    assert repr(kept.__cause__) == "ValueError('cause')"
    assert repr(kept.__context__) == "KeyError('context')"
    assert kept.__context__ is not None
    assert kept.__context__.__context__ is kept
    assert {kept.__traceback__, kept.__context__.__traceback__} == {None}
    assert kept.__suppress_context__
    assert (error.exception.__cause__, error.exception.__context__) == (cause, context)
    assert context.__traceback__ is not None, "that of the others is theirs"


@pytest.mark.parametrize(
    ("exception", "told"),
    [
        (Stubborn("a", 1), "Exception('a', 1)"),
        (type("Odd", (Stubborn, KeyError), {})("k"), "KeyError('k')"),
        (type("Odd", (Stubborn, OSError), {})(2, "gone"), "FileNotFoundError(2, 'gone')"),
        (type("Odd", (Stubborn, UnicodeError), {})("k"), "UnicodeError('k')"),
    ],
    ids=lambda given: str(given),
)
def test_another_one_stands_in_for_what_cannot_be_copied(exception: Exception, told: str) -> None:
    error = raised(exception)
    kept = error.bare(stand_in=True).exception
    assert repr(kept) == told
    assert kept.__notes__ == [  # type: ignore[attr-defined]
        f"in place of a {type(exception).__module__}.{type(exception).__qualname__}"
    ]
    assert (repr(kept.__cause__), repr(kept.__context__)) == (
        "ValueError('cause')",
        "KeyError('context')",
    )
    assert kept.__traceback__ is kept.__context__.__traceback__ is None  # type: ignore[union-attr]
    assert error.exception is exception
    assert exception.__traceback__ is not None, "that of the callers is theirs"


def test_what_cannot_be_copied_is_not_replaced_where_it_is_to_be_raised() -> None:
    error = raised(Stubborn())
    assert error.bare().exception is error.exception


def linked(exception: Exception) -> Exception:
    """One that was raised, and so has frames."""
    try:
        raise exception
    except Exception as error:
        return error


def test_what_is_kept_links_to_no_traceback_by_any_attribute() -> None:
    class Wrapping(Exception):
        original: Exception

    outer = Wrapping("it failed", linked(LookupError("an argument")))
    outer.original = linked(Stubborn("an attribute"))
    error = raised(outer)
    kept: Any = error.bare(stand_in=True).exception
    assert [repr(kept.original), repr(kept.args[1])] == [
        "Exception('an attribute')",
        "LookupError('an argument')",
    ]
    assert kept.original.__traceback__ is kept.args[1].__traceback__ is None
    assert outer.original.__traceback__ is not None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
def test_the_members_of_a_group_that_is_kept_are_bare_with_all_that_is_linked_to_them() -> None:
    member = linked(Stubborn("m"))
    member.__context__ = linked(KeyError("context of a member"))
    group = ExceptionGroup  # type: ignore[name-defined]  # noqa: F821
    error = raised(group("all", [member, group("inner", [linked(LookupError("k"))])]))
    kept: Any = error.bare(stand_in=True).exception
    first, inner = kept.exceptions
    assert (repr(first), repr(first.__context__)) == (
        "Exception('m')",
        "KeyError('context of a member')",
    )
    tracebacks = [e.__traceback__ for e in (first, first.__context__, *inner.exceptions)]
    assert tracebacks == [None] * 3


def test_whoever_follows_gets_a_copy_and_whoever_leads_the_original(gate: Gate) -> None:
    original = LookupError("k")

    @singleflight
    def load(key: str) -> None:
        gate()
        raise original

    leader, followers = herd(3, load, gate, "k")
    gate.open()
    seen = []
    for caller in (leader, *followers):
        with pytest.raises(LookupError, match="k") as caught:
            caller.result()
        seen.append(caught.value)
    assert seen[0] is original
    assert len(set(map(id, seen))) == 4
    for error in seen:
        assert traceback.extract_tb(error.__traceback__)[-1].line == "raise original"


def test_futures_get_copies(gate: Gate) -> None:
    group = Group()

    def fail() -> None:
        gate()
        raise LookupError("k")

    futures = [group.submit("k", fail) for _ in range(3)]
    gate.arrived()
    until(lambda: waiters(group) == 3)
    gate.open()
    errors = [future.exception(20) for future in futures]
    assert len(set(map(id, errors))) == 3
    assert {str(error) for error in errors} == {"k"}


class Twice(KeyError, OSError): ...


def test_an_exception_of_several_builtin_bases_is_copied() -> None:
    error = raised(Twice("k"))
    copy = error.copy().exception
    assert copy is not error.exception
    assert (type(copy), copy.args) == (Twice, ("k",))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with Python 3.11")
def test_the_members_of_a_group_are_copied_without_their_frames() -> None:
    member = raised(LookupError("k")).exception
    error = raised(ExceptionGroup("both", [member]))  # type: ignore[name-defined]  # noqa: F821
    (copy,) = error.copy().exception.exceptions  # type: ignore[attr-defined]
    assert copy is not member
    assert (repr(copy), copy.__traceback__) == ("LookupError('k')", None)
    assert member.__traceback__ is not None


def test_an_error_that_refuses_assignments_is_shared_as_any_other(gate: Gate) -> None:
    @singleflight
    def load() -> None:
        gate()
        raise Frozen(1)

    def submitted() -> None:
        Group().submit("k", load.__wrapped__).result(20)

    callers = in_threads(3, load)
    until(lambda: waiters(load) == 2)
    gate.open()
    for caller in (*callers, Caller(submitted)):
        with pytest.raises(Frozen):
            caller.result()


def test_an_attribute_error_stays_as_it_was_raised_and_keeps_no_frame() -> None:
    """The interpreter names, on an `AttributeError`, the attribute whose reading raised it."""
    seen: list[weakref.ref[Any]] = []

    class Big:
        pass

    @singleflight
    def load() -> None:
        big = Big()
        seen.append(weakref.ref(big))
        raise AttributeError("mine")

    gc.disable()
    try:
        for _ in range(3):
            with pytest.raises(AttributeError, match=r"^mine$") as raised:
                load()
            assert (raised.value.name, raised.value.obj) == (None, None)
            del raised
        assert [big() for big in seen] == [None] * 3
    finally:
        gc.enable()
