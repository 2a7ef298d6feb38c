"""The generated wrapper: its errors, its source, its faces."""

from __future__ import annotations

import asyncio
import linecache
import sys
from pathlib import Path
from typing import Any

import pytest

import soloflight
from both_worlds import World
from conftest import Boom
from soloflight import cached_singleflight, singleflight


def test_a_type_error_of_a_key_function_is_its_own() -> None:
    """The TypeError of a key function is its own."""

    def key(n: int) -> int:
        raise TypeError("of my own")

    @cached_singleflight(ttl=60, key=key)
    def load(n: int) -> int:
        return n

    with pytest.raises(TypeError, match="of my own"):
        load(1)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a bare raise adds a frame there")
@pytest.mark.parametrize("call", ["call", "refresh"])
@pytest.mark.parametrize("kind", ["thread", "task"])
def test_an_error_has_no_frame_of_ours(kind: str, call: str) -> None:
    """Whatever it is called: the wrapper is named like the loader."""

    ours = (str(Path(soloflight.__file__).parent), "<soloflight")

    def loader() -> int:
        raise Boom

    async def async_loader() -> int:
        raise Boom

    load: Any = cached_singleflight(ttl=60)(loader if kind == "thread" else async_loader)

    async def main() -> None:
        await (load.refresh() if call == "refresh" else load())

    with pytest.raises(Boom) as caught:
        if kind == "task":
            asyncio.run(main())
        elif call == "refresh":
            load.refresh()
        else:
            load()
    tb: Any = caught.value.__traceback__
    files = []
    while tb is not None:
        files.append(tb.tb_frame.f_code.co_filename)
        tb = tb.tb_next
    assert not [file for file in files if file.startswith(ours)]


def test_a_method_may_take_its_instance_among_its_args() -> None:
    """A method whose instance is the first of its *args."""

    class Repo:
        @cached_singleflight(ttl=60)
        def get(*args: Any) -> Any:
            return args[1:]

    assert Repo().get(1, 2) == (1, 2)
    assert Repo().get() == ()


def test_an_unhashable_positional_argument_is_named_without_a_cache() -> None:
    @singleflight
    def load(filters: Any) -> int:
        return 1

    with pytest.raises(TypeError, match="argument 'filters' is an unhashable list"):
        load([])
    with pytest.raises(TypeError, match="argument 'filters' is an unhashable list"):
        load.forget([])


def test_the_source_of_a_wrapper_is_shown() -> None:
    """Tracebacks and debuggers find the source of a wrapper."""

    @cached_singleflight(ttl=60)
    def load(n: int) -> int:
        return n

    load(1)
    code = load.__code__
    line = linecache.getline(code.co_filename, code.co_firstlineno)
    assert line.strip() == "def call(n):"


@pytest.mark.parametrize("value", [1, None])
def test_a_hit_takes_no_lock(world: World, value: int | None) -> None:
    origin = world.origin()
    origin.answer = lambda number: value
    load = world.cached(origin, ttl=60)
    world.call(load)
    with load._core.table.lock:
        assert world.start(load).result() == value
    assert origin.loads == 1
