"""What is asked for in words that there are not says what was meant."""

from __future__ import annotations

import asyncio
import gc
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Caller, Gate
from soloflight import Group, cached_singleflight, singleflight


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("timeout", "wait_timeout"),
        ("wait_time", "wait_timeout"),
        ("swr", "stale_while_revalidate"),
        ("stale_while_revalidat", "stale_while_revalidate"),
        ("max_size", "maxsize"),
        ("maxSize", "maxsize"),
        ("size", "maxsize"),
        ("ttl_seconds", "ttl"),
        ("expire", "ttl"),
        ("expires", "ttl"),
        ("TTL", "ttl"),
        ("sie", "stale_if_error"),
        ("stale_on_error", "stale_if_error"),
        ("key_builder", "key"),
        ("negative_ttl", "error_ttl"),
        ("beta", "early_refresh"),
        ("get_size_of", "getsizeof"),
        ("max_flight_ages", "max_flight_age"),
        ("tll", "ttl"),
        ("tlt", "ttl"),
        ("kye", "key"),
        ("nmae", "name"),
    ],
)
def test_an_option_that_there_is_not_guesses(given: str, meant: str) -> None:
    words = rf"^cached_singleflight\(\) got an unexpected keyword argument '{given}'; did you mean "
    with pytest.raises(TypeError, match=rf"{words}'{meant}'\?$"):
        cached_singleflight(ttl=1, **{given: 1})


@pytest.mark.parametrize(
    ("decorator", "has"),
    [(singleflight, r"key, ignore, .*name$"), (cached_singleflight, r"ttl, jitter, .*name$")],
)
def test_what_is_like_nothing_shows_what_there_is(decorator: Any, has: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument 'xyz'; it has {has}"):
        decorator(xyz=1)


@pytest.mark.parametrize("decorator", [singleflight, cached_singleflight])
@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("lock", "the cache is guarded already, and identical calls share one load$"),
        ("rlock", "the cache is guarded already, and identical calls share one load$"),
        ("condition", "the cache is guarded already, .* cached is cache_if$"),
        ("info", r"cache_info\(\) is always there$"),
    ],
)
def test_what_is_not_needed_says_so(decorator: Any, given: str, why: str) -> None:
    with pytest.raises(
        TypeError, match=f"unexpected keyword argument '{given}'; leave it out: {why}"
    ):
        decorator(**{given: object()})


@pytest.mark.parametrize(
    ("given", "meant"), [("ttl", "ttl"), ("cache", "cache"), ("expires", "ttl"), ("swr", "stale_w")]
)
def test_singleflight_says_that_it_caches_nothing(given: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"caches nothing; use @cached_singleflight\({meant}"):
        singleflight(**{given: 30})  # type: ignore[call-overload]


def test_singleflight_guesses_too() -> None:
    with pytest.raises(TypeError, match=r"^singleflight\(\) got .* did you mean 'wait_timeout'\?"):
        singleflight(timeout=30)  # type: ignore[call-overload]


async def fetch(number: int = 1) -> int:
    return number


def plain() -> int:
    return 1


CALLS: dict[str, Callable[[Any], Any]] = {
    "do": lambda fn: Group().do("k", fn),
    "submit": lambda fn: Group().submit("k", fn).result(),
    "do_async": lambda fn: asyncio.run(Group().do_async("k", fn)),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_group_wants_the_function_not_its_coroutine(call: str) -> None:
    with pytest.raises(TypeError, match=rf"^{call} takes a function .* do_async\(key, fetch, "):
        CALLS[call](fetch(1))
    gc.collect()  # a coroutine that was never awaited warns


@pytest.mark.parametrize("call", CALLS)
def test_a_group_wants_a_function(call: str) -> None:
    with pytest.raises(TypeError, match=f"^{call}: fn must be callable, not 1"):
        CALLS[call](1)


@pytest.mark.parametrize("call", ["do", "submit"])
def test_a_coroutine_function_is_for_do_async(call: str) -> None:
    with pytest.raises(TypeError, match=r"use Group\.do_async"):
        CALLS[call](fetch)
    gc.collect()


def test_do_async_says_what_to_do_with_a_plain_function() -> None:
    with pytest.raises(TypeError, match=r"plain is a plain one: it returned a int, .*; use do, or"):
        CALLS["do_async"](plain)


def test_do_async_takes_whatever_returns_an_awaitable() -> None:
    class Awaitable:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return 3

    async def main() -> None:
        group = Group()
        assert await group.do_async("k", lambda: fetch(2)) == 2
        assert await group.do_async("k", Awaitable) == 3
        assert await group.do_async("k", fetch, 4) == 4

    asyncio.run(main())


def test_what_a_plain_function_raises_has_no_frame_of_ours() -> None:
    def lacking() -> Any:
        raise KeyError("lacking")

    with pytest.raises(KeyError) as caught:
        CALLS["do_async"](lacking)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert "_awaitable" not in [frame.name for frame in frames]
    assert frames[-1].name == "lacking"


def test_a_group_shows_its_name_and_how_much_is_in_flight(gate: Gate) -> None:
    group = Group("orders")
    assert repr(group) == "<Group 'orders', 0 in flight>"
    caller = Caller(group.do, "k", gate)
    gate.arrived()
    assert repr(group) == "<Group 'orders', 1 in flight>"
    gate.open()
    caller.result()
