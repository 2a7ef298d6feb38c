"""The wrapper that is generated from a loader's signature.

Python's own call machinery then binds positionals, keywords and defaults, at the speed of C, and
raises the loader's own ``TypeError`` for a wrong call. The source goes into `linecache`, so that
tracebacks and debuggers show it.

A wrapper has the globals of its loader, as frameworks evaluate annotations there; what it needs it
has as its closure.

A loader gets a *face* for each way in which it is called:

* ``plain``: as a function; all its parameters make the key;
* ``method``: with the instance first;
* ``bound``: as the ``__call__`` of a bound object, which has the instance as its ``__self__``.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from functools import cache
from inspect import Parameter
from itertools import count
from keyword import iskeyword
from textwrap import indent
from types import CellType, CodeType, FunctionType
from typing import Any, Literal, NamedTuple

from . import keys

Face = Literal["plain", "method", "bound"]


class Spec(NamedTuple):
    """What of a function's options shows in its wrappers."""

    name: str
    qualname: str  # of the loader
    module: str
    params: list[Parameter]
    is_async: bool
    ignore: frozenset[str] = frozenset()
    typed: bool = False
    key: Callable[..., Any] | None = None
    per_instance: bool | Callable[[Any], Any] = True
    cached: bool = False
    scoped: bool = False  # the cache may hold entries of others: keys say whose they are
    timed: bool = False  # entries expire
    aging: bool = False  # and may be served stale, or refreshed early
    copied: bool = False  # each caller gets a copy
    weak: bool = False  # the cache was given: references to entries are looked up
    ordered: bool = False  # and hits are noted for it
    held: bool = False  # the wrapper itself is what the user holds


def cells(**values: Any) -> dict[str, CellType]:
    """What wrappers refer to, by name. A cell has the same value for all who have it."""
    return {name: CellType(value) for name, value in values.items()}


_HELPERS = cells(
    type=type, frozenset=frozenset, id=id, hash=hash, next=next,
    typed_items=keys.typed_items,
)  # fmt: skip
"""The rest, which only a miss needs, is asked of ``core``: each cell costs every call a little."""


def generate(
    spec: Spec, face: Face, names: dict[str, CellType], scope: dict[str, Any]
) -> tuple[FunctionType, FunctionType]:
    """The wrapper of a face, and a function that only binds: ``(...) -> Call``.

    `names` are what the wrapper refers to of its function: its ``core``; ``getters, enroll`` of
    its `Instances`; where it is cached, those of `Shelf.names`. `scope` are its globals.
    """
    prefix = "_sf_"
    while any(p.name.startswith(prefix) for p in spec.params):
        prefix = "_" + prefix
    spec = _spelled(spec, prefix)
    params, rest, me = _receiver(spec, face, prefix)
    if spec.key is not None:
        keys.check_key(spec.key, [rest], spec.name)
    names = names | _HELPERS
    names |= cells(key_of=spec.key, owner_of=spec.per_instance)
    source = _source(spec, face, prefix, params, rest, me)
    codes = _compiled(source, ", ".join(prefix + name for name in names))
    title = spec.qualname.rpartition(".")[2]
    titles: dict[str, Any] = {"co_name": title}
    if sys.version_info >= (3, 11):
        titles["co_qualname"] = spec.qualname
    optional = [p for p in params if p.default is not p.empty]
    keyword_only = Parameter.KEYWORD_ONLY
    defaults = tuple(p.default for p in optional if p.kind is not keyword_only) or None
    by_keyword = {p.name: p.default for p in optional if p.kind is keyword_only} or None
    functions: list[FunctionType] = []
    for code in codes:
        # Code of its own: the interpreter specialises it for this function's names. Tracebacks show
        # the loader's name; the source does not have it, as it might be that of a helper.
        names_of_locals = tuple(_named(name, prefix) for name in code.co_varnames)
        own: Any = code.replace(co_varnames=names_of_locals, **titles)
        closure = tuple(names[name.removeprefix(prefix)] for name in code.co_freevars)
        function = FunctionType(own, scope, title, defaults, closure)
        function.__kwdefaults__ = by_keyword
        functions.append(function)
    call, bind = functions
    return call, bind


def _spelled(spec: Spec, prefix: str) -> Spec:
    """Parameters that are named like a keyword get a name that can be written.

    Those of C functions and of a ``__signature__`` may be, where they are positional only.
    """

    def spelled(name: str) -> str:
        return prefix + name if iskeyword(name) else name

    params = [p.replace(name=spelled(p.name)) for p in spec.params]
    return spec._replace(params=params, ignore=frozenset(map(spelled, spec.ignore)))


def _named(name: str, prefix: str) -> str:
    """What the user calls a parameter that was `_spelled`."""
    named = name.removeprefix(prefix)
    return named if iskeyword(named) else name


def is_owner_alone(spec: Spec) -> bool:
    """Whether the key of a call is what a callable `per_instance` returned, and no tuple."""
    rest = _receiver(spec, "bound", "_")[1]
    kept = [p for p in rest if p.name not in spec.ignore]
    return spec.key is None and not keys.derived(kept, spec.typed, "")


def _receiver(spec: Spec, face: Face, prefix: str) -> tuple[list[Parameter], list[Parameter], str]:
    """The wrapper's parameters, those besides the instance, and the expression for the instance."""
    params = spec.params
    if face == "plain":
        return params, params, ""
    first, rest = Parameter(prefix + "self", Parameter.POSITIONAL_ONLY), keys.without_self(params)
    if rest is not params:
        first = params[0]
        if first.name in spec.ignore:
            raise ValueError(
                f"{spec.name}: ignore names {_named(first.name, prefix)!r}, the instance, which is "
                "for per_instance: per_instance=False ignores it"
            )
    if face == "method":
        return [first, *rest], rest, first.name
    bound = Parameter(prefix + "bound", Parameter.POSITIONAL_ONLY)
    return [bound, *rest], rest, f"{bound.name}.__self__"


_KEY = """\
{enroll}{ask}try:
    {keep}{look}
except TypeError as {sf}error:
    {sf}core.explain({sf}core.spec.name, {sf}error, {arguments}, {asked})
"""
"""Make the key, and look it up. (A bound method has its instance enrolled first.)"""

_ENROLL = """\
try:
    {sf}get = {sf}getters[{sf}id({me})]
except KeyError:
    {sf}get = {sf}enroll({me})
"""

_HIT = """\
{deref}if {there}{fresh}:
    {note}
    return {entry_value}
"""
"""Serve an entry that is fresh."""

_AGING_HIT = """\
{sf}outcome = None
{deref}if {there}:
    {sf}time = {sf}now()
    if {sf}time < {sf}entry.calm_until:
        {note}
        if not {sf}time < {sf}entry.fresh_until:
            {sf}next({sf}stale if {sf}time < {sf}entry.stale_until else {sf}on_error)
        return {entry_value}
    {sf}outcome = {sf}core.serve_stale({sf}entry, {sf}time, {call})
    if {sf}outcome is not None:
        {note}
    {sf}entry = None
if {sf}outcome is None:
    """
"""Serve what needs no thought, stale as it may be. It ends where the miss begins."""

_MISS = """\
{sf}outcome = {wait}{sf}core.miss({call})
try:
    return {outcome_value}
except BaseException as {sf}error:
    # Leave no frame of ours between the caller's and the loader's.
    {sf}outcome.reset({sf}error)
    raise
finally:
    {sf}outcome = None
"""
"""Load, or wait for who does."""


def _source(
    spec: Spec, face: Face, sf: str, params: list[Parameter], rest: list[Parameter], me: str
) -> str:
    """The texts above, joined, and filled in for one function."""
    blanks = _blanks(spec, sf, rest, me) | _key_blanks(spec, face, sf, rest, me)
    call = f"{sf}core.call"
    if spec.held:  # then its ``__wrapped__`` may have been set
        changed = f"{sf}core.wrapped('__wrapped__') is not {sf}core.loads"
        call = f"({sf}core.turned() if {changed} else {call})"
    blanks["call"] = f"{call}({blanks['whole']}, {blanks['args']}, {blanks['kwargs']})"
    look = f"{sf}hash({blanks['key']})"
    bind = _KEY.format(look=look, **blanks)
    hit = ""
    if spec.cached:
        look = f"{sf}{'ref' if spec.weak else 'entry'} = {sf}get({blanks['key']}, {sf}gone)"
        hit = _AGING_HIT if spec.aging else _HIT
    called = (_KEY + hit + _MISS).format(look=look, **blanks)
    declared = keys.declaration(params)
    return (
        f"{'async ' if spec.is_async else ''}def call({declared}):\n"
        f"{indent(called, '    ')}\n"
        f"def bind({declared}):\n"
        f"{indent(bind, '    ')}"
        f"    return {blanks['call']}\n"
    )


def _blanks(spec: Spec, sf: str, rest: list[Parameter], me: str) -> dict[str, str]:
    """What the hit and the miss are filled in with."""
    note = f"{sf}next({sf}counter)"
    deref, there, fresh = "", f"{sf}entry is not {sf}gone", f"{sf}now() < {sf}entry.fresh_until"
    if spec.weak:
        deref, there = f"{sf}entry = {sf}ref()\n", f"{sf}entry is not None"
        fresh = f" and {fresh}" if spec.timed else ""
        if spec.ordered:
            note += f"; {sf}note({sf}ref)"
    else:
        if not spec.aging:  # what is not there, or put in by hand, is never fresh
            there = "" if spec.timed else f"{sf}entry.fresh_until > 0.0"
            fresh = fresh if spec.timed else ""
        uses = "uses" if spec.scoped else "counter"
        mark = f"{sf}entry.visited = {sf}next({sf}{uses})"
        note = f"{mark}; {note}" if spec.scoped else mark
    entry_value, outcome_value = f"{sf}entry.value", f"{sf}outcome.value"
    if spec.copied:
        entry_value, outcome_value = f"{sf}copy({entry_value})", f"{sf}copy({outcome_value})"
    args, kwargs = keys.positional(rest), keys.keywords(rest)
    return {
        "sf": sf,
        "deref": deref,
        "there": there,
        "fresh": fresh,
        "note": note,
        "entry_value": entry_value,
        "outcome_value": outcome_value,
        "wait": "await " if spec.is_async else "",
        "args": keys.as_tuple([me, *args] if me else args),
        "kwargs": keys.as_dict(kwargs) if kwargs else f"{sf}core.nothing",
    }


def _key_blanks(spec: Spec, face: Face, sf: str, rest: list[Parameter], me: str) -> dict[str, str]:
    """What the making of the key is filled in with."""
    asked: list[tuple[str, str]] = []  # options that are callables; their own errors pass
    ask = enroll = ""
    arguments = "{}"
    if spec.key is not None:
        parts = [f"{sf}made"]
        asked.append(("key", parts[0]))
        ask = f"{parts[0]} = {keys.as_call(f'{sf}key_of', rest)}\n"
    else:
        kept = [p for p in rest if p.name not in spec.ignore]
        parts = keys.derived(kept, spec.typed, sf)
        stars = Parameter.VAR_KEYWORD
        arguments = keys.as_dict(
            [("" if p.kind is stars else _named(p.name, sf), p.name) for p in kept]
        )
    if face != "plain" and callable(spec.per_instance):
        parts.insert(0, f"{sf}owner")
        asked.append(("per_instance", parts[0]))
        ask += f"{parts[0]} = {sf}owner_of({me})\n"
    key = parts[0] if len(parts) == 1 else keys.as_tuple(parts)
    keep = ""
    if "(" in key[1:]:  # something is called: once. A mere tuple is written again where it misses
        keep, key = f"{sf}key = {key}\n    ", f"{sf}key"
    scoped = f"{sf}core.new({sf}core.Scoped, ({sf}core.shelf.index, {key}))"
    if face != "plain" and spec.per_instance is True:
        enroll = _ENROLL.format(sf=sf, me=me)
        whole = f"{sf}core.new({sf}core.Scoped, ({sf}get.__self__, {key}))"
    elif spec.scoped:
        whole = scoped
    elif spec.cached and len(parts) == 1:
        # A key of one part may be anything, the scoped key of another function too.
        whole = f"{key} if {sf}type({key}) is not {sf}core.Scoped else {scoped}"
    else:
        whole = key
    return {
        "enroll": enroll,
        "ask": ask,
        "keep": keep,
        "key": key,
        "whole": whole,
        "arguments": arguments,
        "asked": keys.as_dict(asked),
    }


_numbers = count(1)


@cache
def _compiled(source: str, names: str) -> tuple[CodeType, CodeType]:
    """The code of what `source` defines, where `names` are those of the closure.

    Loaders of the same shape share their source, and so its lines in `linecache`.
    """
    filename = f"<soloflight wrapper {next(_numbers)}>"
    source = f"def closed({names}):\n{indent(source, '    ')}"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    (closed,) = _inner(compile(source, filename, "exec"))
    call, bind = _inner(closed)
    return call, bind


def _inner(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]
