"""The wrapper that is generated from a loader's signature.

Python's own call machinery then binds positionals, keywords and defaults, at the speed of C, and
raises the loader's own ``TypeError`` for a wrong call. The source goes into `linecache`, so that
tracebacks and debuggers show it.

A loader gets a *face* for each way in which it is called:

* ``plain``: as a function; all its parameters make the key;
* ``method``: with the instance first;
* ``bound``: as the ``__call__`` of a bound object, which has the instance as its ``__self__``.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from functools import cache
from inspect import Parameter
from itertools import count
from keyword import iskeyword
from textwrap import indent
from types import CodeType
from typing import Any, Literal, NamedTuple

from .._entries.index import GONE, Scoped
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
    ordered: bool = False  # hits are noted for the cache

    @property
    def title(self) -> str:
        return self.qualname.rpartition(".")[2]


def generate(spec: Spec, face: Face, names: dict[str, Any]) -> tuple[Any, Any]:
    """The wrapper of a face, and a function that only binds: ``(...) -> key, args, kwargs``.

    `names` are what the wrapper refers to of its function: its ``core``; ``looks, enroll`` of its
    `Instances`; where it is cached, those of `Shelf.names`.
    """
    prefix = "_sf_"
    while any(p.name.startswith(prefix) for p in spec.params):
        prefix = "_" + prefix
    spec = _spelled(spec, prefix)
    params, rest, me = _receiver(spec, face, prefix)
    if spec.key is not None:
        keys.check_key(spec.key, [rest], spec.name)
    source = _source(spec, face, prefix, params, rest, me)
    helpers = {
        "scope": tuple.__new__,
        "Scoped": Scoped,
        "type": type,
        "frozenset": frozenset,
        "typed_items": keys.typed_items,
        "id": id,
        "hash": hash,
        "next": next,
        "nothing": {},
        "gone": GONE,
        "name": spec.name,
        "key_of": spec.key,
        "owner_of": spec.per_instance,
        "explain": keys.explain,
        **names,
    }
    scope = {prefix + name: value for name, value in helpers.items()}
    scope["__name__"] = spec.module  # `warnings`, `logging` and others look for it
    exec(_compiled(source), scope)
    wrapper, bind = scope["call"], scope["bind"]
    for function in (wrapper, bind):
        # Code of its own: the interpreter specialises it for this function's names. Tracebacks show
        # the loader's name; the source does not have it, as it might be that of a helper.
        code = function.__code__
        names_of_locals = tuple(_named(name, prefix) for name in code.co_varnames)
        function.__code__ = code.replace(co_name=spec.title, co_varnames=names_of_locals)
        function.__defaults__ = tuple(
            p.default
            for p in params
            if p.default is not p.empty and p.kind is not Parameter.KEYWORD_ONLY
        )
        function.__kwdefaults__ = {
            p.name: p.default
            for p in params
            if p.default is not p.empty and p.kind is Parameter.KEYWORD_ONLY
        }
    return wrapper, bind


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
                f"{spec.name}: ignore names {_named(first.name, prefix)!r}, the instance; say "
                "per_instance=False"
            )
    if face == "method":
        return [first, *rest], rest, first.name
    bound = Parameter(prefix + "bound", Parameter.POSITIONAL_ONLY)
    return [bound, *rest], rest, f"{bound.name}.__self__"


def _source(
    spec: Spec, face: Face, sf: str, params: list[Parameter], rest: list[Parameter], me: str
) -> str:
    by_identity = face != "plain" and spec.per_instance is True
    kept = [p for p in rest if p.name not in spec.ignore]
    calls: list[tuple[str, str, str]] = []  # of the options that are callables; their errors pass
    arguments = "{}"
    if spec.key is not None:
        parts = [f"{sf}made"]
        calls.append(("key", parts[0], keys.as_call(f"{sf}key_of", rest)))
    else:
        parts = keys.derived(kept, spec.typed, sf)
        var = Parameter.VAR_KEYWORD
        arguments = keys.as_dict(
            [("" if p.kind is var else _named(p.name, sf), p.name) for p in kept]
        )
    if face != "plain" and callable(spec.per_instance):
        parts.insert(0, f"{sf}owner")
        calls.append(("per_instance", parts[0], f"{sf}owner_of({me})"))
    made = "".join(f"{variable} = {call}\n" for _, variable, call in calls)
    returned = keys.as_dict([(option, variable) for option, variable, _ in calls])
    key = parts[0] if len(parts) == 1 else keys.as_tuple(parts)
    args = keys.as_tuple([me, *keys.positional(rest)] if me else keys.positional(rest))
    pairs = keys.keywords(rest)
    kwargs = keys.as_dict(pairs) if pairs else f"{sf}nothing"

    look = f"{sf}hash({sf}key)"
    if spec.cached:
        look = f"{sf}ref = {sf}get({sf}key, {sf}gone)"
    enroll = full = ""
    if by_identity:
        enroll = (
            f"try:\n    {sf}get = {sf}looks[{sf}id({me})]\n"
            f"except KeyError:\n    {sf}get = {sf}enroll({me})\n"
        )
        full = f"{sf}scope({sf}Scoped, ({sf}get.__self__, {sf}key))"
    elif spec.scoped:
        full = f"{sf}scope({sf}Scoped, ({sf}index, {sf}key))"
    else:
        full = f"{sf}key"
        # A key of one part may be anything, the scoped key of another function too.
        if spec.cached and len(parts) == 1:
            full += f" if {sf}type({sf}key) is not {sf}Scoped else "
            full += f"{sf}scope({sf}Scoped, ({sf}index, {sf}key))"

    def looking(look: str) -> str:
        return (
            f"{enroll}{made}try:\n    {sf}key = {key}\n    {look}\n"
            f"except TypeError as {sf}error:\n"
            f"    {sf}explain({sf}name, {sf}error, {arguments}, {returned})\n"
        )

    hit = ""
    if spec.cached:
        fresh = f" and {sf}now() < {sf}entry.fresh_until" if spec.timed else ""
        value = f"{sf}copy({sf}entry.value)" if spec.copied else f"{sf}entry.value"
        note = f"{sf}next({sf}counter)"
        if spec.ordered:
            note += f"; {sf}note({sf}ref)"
        hit = (
            f"{sf}entry = {sf}ref()\n"
            f"if {sf}entry is not None{fresh}:\n"
            f"    {note}\n"
            f"    return {value}\n"
        )
        if spec.aging:
            # What needs no thought is served here, stale as it may be; the rest is `_serving`'s.
            hit = (
                f"{sf}outcome = None\n"
                f"{sf}entry = {sf}ref()\n"
                f"if {sf}entry is not None:\n"
                f"    {sf}time = {sf}now()\n"
                f"    if {sf}time < {sf}entry.calm_until:\n"
                f"        {note}\n"
                f"        if not {sf}time < {sf}entry.fresh_until:\n"
                f"            {sf}next({sf}stale if {sf}time < {sf}entry.stale_until "
                f"else {sf}on_error)\n"
                f"        return {value}\n"
                f"    {sf}outcome = {sf}core.late({sf}entry, {sf}time, {full}, {args}, {kwargs})\n"
                f"    {sf}entry = None\n"
            )
    wait = "await " if spec.is_async else ""
    miss = f"{sf}outcome = {wait}{sf}core.miss({full}, {args}, {kwargs})\n"
    if spec.aging:
        miss = f"if {sf}outcome is None:\n    {miss}"
    value = f"{sf}copy({sf}outcome.value)" if spec.copied else f"{sf}outcome.value"
    miss += (
        "try:\n"
        f"    return {value}\n"
        f"except BaseException as {sf}error:\n"
        "    # Leave no frame of ours between the caller's and the loader's.\n"
        f"    {sf}outcome.reset({sf}error)\n"
        "    raise\n"
        "finally:\n"
        f"    {sf}outcome = None\n"
    )
    declared = keys.declaration(params)
    return (
        f"{'async ' if spec.is_async else ''}def call({declared}):\n"
        f"{indent(looking(look) + hit + miss, '    ')}\n"
        f"def bind({declared}):\n"
        f"{indent(looking(f'{sf}hash({sf}key)'), '    ')}"
        f"    return {full}, {args}, {kwargs}\n"
    )


_numbers = count(1)


@cache
def _compiled(source: str) -> CodeType:
    """Loaders of the same shape share their source, and so its lines in `linecache`."""
    filename = f"<soloflight wrapper {next(_numbers)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return compile(source, filename, "exec")
