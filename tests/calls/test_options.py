"""Law 15 for the options of freshness: what cannot work is refused, with what to do instead."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import OrderedDict
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import timedelta
from fractions import Fraction
from math import inf, nan
from types import MappingProxyType
from typing import Any

import pytest

from soloflight import cached_singleflight, singleflight
from soloflight._calls.options import Options


class NotFound(Exception): ...


class Threads(Executor):
    """Somebody's own."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise NotImplementedError


class InterpreterPoolExecutor(ThreadPoolExecutor):
    """What Python 3.14 brings under this name is such a subclass."""


async def awaited(value: object) -> float:
    return 1.0


class Awaited:
    async def __call__(self, value: object) -> float:
        return 1.0


THREADS = Threads()
SWR = {"stale_while_revalidate": 60}
NO_DURATION = "must be seconds (int or float) or a timedelta, not "


def refused(error: type[Exception], words: str, **options: Any) -> Any:
    return pytest.param(options, error, words, id=words)


def decorate(options: dict[str, Any]) -> Any:
    return cached_singleflight(**{"ttl": 5, **options})(lambda: 1)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        # durations
        *(
            refused(kind, f"{option} {words}", **{option: value})
            for option in ("stale_while_revalidate", "stale_if_error", "max_flight_age")
            for value, kind, words in (
                ("1h", TypeError, NO_DURATION + "str"),
                (True, TypeError, NO_DURATION + "bool"),
                (1j, TypeError, NO_DURATION + "complex"),
                (timedelta, TypeError, NO_DURATION + "type"),
                (nan, ValueError, "must be a number of seconds, not nan"),
                (-0.5, ValueError, "must not be negative, but is -0.5"),
                (timedelta(-1), ValueError, "must not be negative, but is -1 day"),
            )
        ),
        refused(
            TypeError,
            "stale_if_error must be seconds or a timedelta, not None (0",
            stale_if_error=None,
        ),  # 0 is off
        # shares and factors
        refused(TypeError, "jitter must be a number, not '10%'", jitter="10%"),
        refused(TypeError, "jitter must be a number, not True", jitter=True),
        refused(TypeError, "jitter must be a number, not None", jitter=None),
        refused(TypeError, "jitter must be a number, not (0, 0.1)", jitter=(0, 0.1)),
        refused(ValueError, "jitter must be from 0 to 1, but is 10", jitter=10),
        refused(ValueError, "jitter must be from 0 to 1, but is -0.1", jitter=-0.1),
        refused(ValueError, "jitter must be from 0 to 1, but is nan", jitter=nan),
        refused(TypeError, "early_refresh must be a number, not True", early_refresh=True),
        refused(TypeError, "early_refresh must be a number", early_refresh=timedelta(1)),
        refused(ValueError, "(1.0 is usual), but is -1", early_refresh=-1),
        refused(ValueError, "(1.0 is usual), but is inf", early_refresh=inf),
        refused(ValueError, "(1.0 is usual), but is nan", early_refresh=nan),
        # retry_after
        refused(TypeError, "a pair, (base, cap) in seconds, not 5", retry_after=5, **SWR),
        refused(TypeError, "a pair, (base, cap) in seconds, not None", retry_after=None, **SWR),
        refused(
            TypeError,
            "in seconds, not (1, 2, 3)",
            retry_after=(1, 2, 3),
            **SWR,
        ),
        refused(TypeError, f"each of retry_after {NO_DURATION}", retry_after=(1, None), **SWR),
        refused(ValueError, "each of retry_after must not be", retry_after=(-1, 1), **SWR),
        refused(ValueError, "0 < base <= cap, but is (30, 1)", retry_after=(30, 1), **SWR),
        refused(ValueError, "0 < base <= cap, but is (0, 1)", retry_after=(0, 1), **SWR),
        # error_ttl
        refused(TypeError, "{exception class: seconds}, not 5", error_ttl=5),
        refused(TypeError, "{exception class: seconds}, not [<class", error_ttl=[NotFound]),
        refused(TypeError, "error_ttl has 'NotFound', which is no", error_ttl={"NotFound": 5}),
        refused(TypeError, "error_ttl has NotFound(), which is no", error_ttl={NotFound(): 5}),
        refused(TypeError, "no subclass of Exception", error_ttl={KeyboardInterrupt: 5}),
        refused(TypeError, "no subclass of Exception", error_ttl={(NotFound, KeyError): 5}),
        refused(TypeError, f"error_ttl of NotFound {NO_DURATION}", error_ttl={NotFound: "5"}),
        refused(TypeError, f"{NO_DURATION}NoneType", error_ttl={NotFound: None}),
        refused(ValueError, "error_ttl of NotFound must not be neg", error_ttl={NotFound: -5}),
        refused(ValueError, "error_ttl of NotFound must be a num", error_ttl={NotFound: nan}),
        # callables
        refused(TypeError, "cache_if must be a callable, not True", cache_if=True),
        refused(TypeError, "copy must be a callable, not True", copy=True),
        refused(TypeError, "copy must be a callable, not <module", copy=copy),
        *(
            refused(TypeError, f"{what} must be a plain function, not an async def", **options)
            for what, options in (
                ("ttl", {"ttl": awaited}),
                ("cache_if", {"cache_if": awaited}),
                ("copy", {"copy": awaited}),
                ("error_ttl of NotFound", {"error_ttl": {NotFound: awaited}}),
            )
        ),
        # executor
        refused(TypeError, "a concurrent.futures.Executor, not 4", executor=4, **SWR),
        refused(TypeError, "Executor, not <class", executor=ThreadPoolExecutor, **SWR),
        # max_abandoned
        refused(TypeError, "max_abandoned must be an int", max_abandoned=None, max_flight_age=1),
        refused(TypeError, "must be an int, not 1.5", max_abandoned=1.5, max_flight_age=1),
        refused(TypeError, "must be an int, not True", max_abandoned=True, max_flight_age=1),
        refused(ValueError, "must not be negative, but is -1", max_abandoned=-1, max_flight_age=1),
        refused(ValueError, "max_flight_age must be more than 0", max_flight_age=0),
        refused(ValueError, "must be more than 0", max_flight_age=timedelta(0)),
    ],
)
def test_what_has_no_meaning_by_itself_is_refused(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        decorate(options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        *(
            refused(ValueError, f"with ttl={told} {says}", ttl=ttl, **{option: 1})
            for option in ("stale_while_revalidate", "stale_if_error", "early_refresh")
            for ttl, told, says in ((None, None, "entries never"), (0, 0, "nothing is stored"))
        ),
        refused(ValueError, "retry_after holds off reloads", retry_after=(1, 30)),
        refused(
            ValueError,
            "without stale_while_revalidate, stale_if_error or early_refresh",
            retry_after=(1, 30),
            error_ttl={NotFound: 5},
        ),
        refused(ValueError, "max_abandoned has no meaning without max_flight", max_abandoned=2),
        refused(ValueError, "executor is where refreshes run", executor=THREADS),
        refused(
            ValueError,
            "without stale_while_revalidate, early_refresh or wait_timeout",
            executor=THREADS,
            stale_if_error=60,
        ),
    ],
)
def test_what_has_no_meaning_without_another_option_is_refused(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        decorate(options)


@pytest.mark.parametrize("executor", [ProcessPoolExecutor(1), InterpreterPoolExecutor(1)])
def test_an_executor_that_does_not_run_here_is_refused(executor: Executor) -> None:
    with pytest.raises(TypeError, match="executor must run threads"):
        decorate({"executor": executor, **SWR})


def test_an_executor_is_refused_for_an_async_def() -> None:
    decorator = cached_singleflight(ttl=5, executor=THREADS, stale_while_revalidate=60)
    with pytest.raises(ValueError, match=r"awaited is an async def.*leave executor out"):
        decorator(awaited)


@pytest.mark.parametrize(
    "options",
    [
        # off
        {"stale_while_revalidate": 0, "stale_if_error": 0.0, "jitter": 0, "early_refresh": 0},
        {"stale_while_revalidate": timedelta(0), "ttl": None},
        {"error_ttl": None, "cache_if": None, "copy": None, "executor": None},
        {"max_flight_age": None, "error_ttl": {}},
        # any duration
        {"ttl": timedelta(minutes=1), "stale_if_error": timedelta(hours=1)},
        {"stale_while_revalidate": Fraction(1, 2), "stale_if_error": inf},
        {"max_flight_age": timedelta(seconds=1), "max_abandoned": 0},
        {"retry_after": (timedelta(seconds=1), 30), **SWR},
        {"retry_after": (Fraction(1, 2), inf), "early_refresh": 1},
        # shares and factors
        {"jitter": 1, "early_refresh": Fraction(1, 2)},
        # error_ttl
        {"error_ttl": {NotFound: timedelta(seconds=5), KeyError: 0, OSError: inf}},
        {"error_ttl": MappingProxyType({NotFound: lambda error: None})},
        {"error_ttl": OrderedDict({Exception: Fraction(1, 2)}), "ttl": 0},
        # callables
        {"copy": copy.deepcopy, "cache_if": bool, "ttl": len},
        # executor
        {"executor": THREADS, **SWR},
        {"executor": THREADS, "early_refresh": 1},
        {"executor": THREADS, "wait_timeout": 1},
    ],
    ids=repr,
)
def test_what_can_work_is_accepted(options: dict[str, Any]) -> None:
    decorate(options)


def test_an_option_keeps_its_name() -> None:
    """From the decorator to where it acts, each can be followed by its name."""
    kept = {field.name for field in dataclasses.fields(Options)} - {"cached", "policy"}
    assert kept == cached_singleflight.__kwdefaults__.keys()
    assert kept > singleflight.__kwdefaults__.keys()


def test_options_that_are_off_change_nothing_in_the_hit_path() -> None:
    off: dict[str, Any] = {"stale_while_revalidate": 0, "stale_if_error": 0, "error_ttl": {}}
    off |= {"jitter": 0, "early_refresh": 0, "copy": None, "max_flight_age": None}
    functions: list[Any] = [cached_singleflight(ttl=5, **options)(len) for options in ({}, off)]
    plain, wrapper = (type(function).__call__.__code__ for function in functions)
    assert wrapper.co_code == plain.co_code
    assert not any("calm_until" in name or "serve_stale" in name for name in wrapper.co_names)


@pytest.mark.parametrize("option", ["ttl", "cache_if", "copy"])
def test_an_object_that_is_awaited_when_called_is_refused(option: str) -> None:
    with pytest.raises(TypeError, match=f"{option} must be a plain function, not an async def"):
        decorate({option: Awaited()})


@pytest.mark.parametrize(
    "options",
    [
        {"jitter": 0.1, "ttl": None},
        {"jitter": 0.1, "ttl": 0},
        {"cache_if": bool, "ttl": 0},
    ],
    ids=repr,
)
def test_what_has_no_meaning_with_such_a_ttl_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no meaning"):
        decorate(options)
