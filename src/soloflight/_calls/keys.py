"""A signature, which of its arguments make the key, and the expressions that pass them on."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection
from functools import partial, partialmethod
from inspect import Parameter, Signature
from types import FunctionType, MethodType
from typing import Any, NoReturn

if sys.version_info >= (3, 14):
    from annotationlib import Format

    _inspected = partial(inspect.signature, annotation_format=Format.STRING)
else:
    _inspected = inspect.signature

_STARS: dict[Any, str] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
_BOUND_BY_PYTHON = (FunctionType, staticmethod, classmethod, partialmethod)
"""What stands in a class and binds, without code of anybody's, to what is called."""
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def parameters(loader: Callable[..., Any], name: str) -> list[Parameter]:
    try:
        return list(signature(loader).parameters.values())
    except (ValueError, TypeError):
        raise TypeError(f"{name} has no signature to make keys from; wrap it in a def") from None


def signature(call: Callable[..., Any], follow_wrapped: bool = True) -> Signature:
    """The names, kinds and defaults of parameters; their annotations are not to be looked at.

    From Python 3.14 on that would evaluate them: they may name what is defined further below. Even
    as strings they cannot all be had (``"Node" | None``), and nobody asks for them here.
    """
    if isinstance(call, (FunctionType, MethodType)):
        # A mock that looks like a function has no code. It may know the signature of its spec.
        known = getattr(call, "_spec_signature", None)
        if isinstance(known, Signature):
            return known
    return _inspected(_unannotated(call, follow_wrapped), follow_wrapped=follow_wrapped)


def _unannotated(call: Any, follow: bool) -> Any:
    """What has the same signature without annotations, of all that is made of functions."""
    if follow:
        call = inspect.unwrap(call, stop=_has_its_own)
    if hasattr(call, "__signature__"):
        return call
    if _is(call, FunctionType):
        copy = FunctionType(call.__code__, {}, None, call.__defaults__, call.__closure__)
        copy.__kwdefaults__ = call.__kwdefaults__
        return copy
    if _is(call, MethodType):
        return MethodType(_unannotated(call.__func__, follow), call.__self__)
    if _is(call, partial):
        return partial(_unannotated(call.func, follow), *call.args, **call.keywords)
    called: Any = inspect.getattr_static(type(call), "__call__", None)
    if any(_is(called, kind) for kind in _BOUND_BY_PYTHON):
        return _unannotated(called.__get__(call, type(call)), follow)
    return call


def _has_its_own(call: Any) -> bool:
    return hasattr(call, "__signature__") or _is(call, MethodType)


def _is(call: Any, kind: type) -> bool:
    return issubclass(type(call), kind)  # not of a mock, which says that it is one


def check_ignore(params: list[Parameter], ignore: Collection[str], name: str) -> None:
    unknown = sorted(set(ignore) - {p.name for p in params})
    if unknown:
        raise ValueError(
            f"ignore names {unknown[0]!r}, which is no parameter of {name} "
            f"({', '.join(p.name for p in params)})"
        )


def without_self(params: list[Parameter]) -> list[Parameter]:
    """The parameters besides the instance."""
    return params[1:] if params and params[0].kind is not Parameter.VAR_POSITIONAL else params


def check_key(key: Callable[..., Any], ways: Collection[list[Parameter]], name: str) -> None:
    """Refuse a ``key=`` that fits none of the ways in which the function may be called."""
    try:
        # Not that of what it wraps: what is called is the wrapper.
        taken = signature(key, follow_wrapped=False)
    except Exception:
        return  # made in C, say
    for params in ways:
        kinds = {p.kind for p in params}
        # What stars bring may be what is missing.
        bind = taken.bind_partial if kinds & _STARS.keys() else taken.bind
        given = [None for p in params if p.kind in _POSITIONAL]
        named = {p.name: None for p in params if p.kind is Parameter.KEYWORD_ONLY}
        try:
            bind(*given, **named)
            return
        except TypeError as error:
            wrong = str(error)  # and not the error: no ring (see Rings)
    raise TypeError(
        f"{name}: key does not take what it is called with, which is the function's arguments "
        f"without self, ({', '.join(_STARS.get(p.kind, '') + p.name for p in params)}): {wrong}"
    ) from None


def declaration(params: list[Parameter]) -> str:
    """The parameters as in a ``def``; ``None`` stands for each default."""
    parts: list[str] = []
    for i, p in enumerate(params):
        before = params[i - 1].kind if i else None
        if before is Parameter.POSITIONAL_ONLY and p.kind is not before:
            parts.append("/")
        if p.kind is Parameter.KEYWORD_ONLY and before not in (p.kind, Parameter.VAR_POSITIONAL):
            parts.append("*")
        star = _STARS.get(p.kind, "")
        parts.append(star + p.name + ("" if p.default is Parameter.empty else "=None"))
    if params and params[-1].kind is Parameter.POSITIONAL_ONLY:
        parts.append("/")
    return ", ".join(parts)


def positional(params: list[Parameter]) -> list[str]:
    """The arguments to pass on by position."""
    star = [f"*{p.name}" for p in params if p.kind is Parameter.VAR_POSITIONAL]
    return [p.name for p in params if p.kind in _POSITIONAL] + star


def keywords(params: list[Parameter]) -> list[tuple[str, str]]:
    """The arguments to pass on by keyword: name, and expression; no name for ``**kwargs``."""
    named = [(p.name, p.name) for p in params if p.kind is Parameter.KEYWORD_ONLY]
    return named + [("", p.name) for p in params if p.kind is Parameter.VAR_KEYWORD]


def as_tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)},)" if parts else "()"


def as_dict(pairs: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{n!r}: {e}" if n else f"**{e}" for n, e in pairs) + "}"


def as_call(function: str, params: list[Parameter]) -> str:
    named = [f"{n}={e}" if n else f"**{e}" for n, e in keywords(params)]
    return f"{function}({', '.join(positional(params) + named)})"


def derived(params: list[Parameter], typed: bool, prefix: str) -> list[str]:
    """The parts of a key made of `params`: equal where, and only where, the arguments are.

    Each parameter has a place of its own, so distinct calls cannot collide. `prefix` is that of the
    helpers in the generated code: ``type`` and `typed_items`.
    """
    parts: list[str] = []
    types: list[str] = []
    for p in params:
        if p.kind is Parameter.VAR_KEYWORD:
            items = f"frozenset({p.name}.items())"
            parts.append(prefix + (f"typed_items({p.name})" if typed else items))
        elif p.kind is Parameter.VAR_POSITIONAL:
            parts.append(p.name)
            types.append(f"(*map({prefix}type, {p.name}),)")
        else:
            parts.append(p.name)
            types.append(f"{prefix}type({p.name})")
    return parts + types if typed else parts


def typed_items(kwargs: dict[str, Any]) -> frozenset[tuple[str, type, Any]]:
    return frozenset((name, type(value), value) for name, value in kwargs.items())


def explain(
    name: str, error: TypeError, arguments: dict[str, Any], returned: dict[str, Any]
) -> NoReturn:
    """Say which part of a key is unhashable; where none is, the error was another one.

    `returned` is what callables gave that are options.
    """
    for part, value in (*arguments.items(), *returned.items()):
        try:
            hash(value)
        except TypeError:
            kind = type(value).__name__
            if isinstance(value, (tuple, frozenset)):
                kind += " (something in it)"
            if part in returned:
                raise TypeError(f"{name}: its {part}= returned an unhashable {kind}") from None
            raise TypeError(
                f"{name}: argument {part!r} is an unhashable {kind} and cannot be part of a "
                "key; give key= or ignore="
            ) from None
    try:
        raise error
    finally:
        del error, arguments, returned  # breaks the ring (see Rings)
