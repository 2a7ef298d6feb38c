"""A result as a value, raised once at the edge.

A flight lands with a `Value` or an `Error`; reading ``.value`` of either returns or raises. It
knows nothing of flights. The idea is that of python-trio's ``outcome``.
"""

from __future__ import annotations

from types import TracebackType
from typing import Generic, NoReturn, TypeVar

V = TypeVar("V")


class Value(Generic[V]):
    """What a loader returned."""

    __slots__ = ("value",)

    def __init__(self, value: V) -> None:
        self.value: V = value

    def reset(self, error: BaseException) -> None:
        """A value raises nothing: the error is another one, an interruption say."""


class Found(Value[V]):
    """A value that was in the cache after all."""

    __slots__ = ()


class Error:
    """What a loader raised, and the traceback that it had at the loader's edge."""

    __slots__ = ("exception", "traceback")

    def __init__(self, exception: BaseException, traceback: TracebackType | None) -> None:
        self.exception = exception
        self.traceback = traceback

    @property
    def value(self) -> NoReturn:
        """Raise the exception, its traceback reset to the loader's own.

        Without the reset one exception object that is raised in 30 threads would collect the frames
        of all of them. A bare ``raise`` adds no frame of its own (from Python 3.11 on).
        """
        try:
            raise self.exception.with_traceback(self.traceback)
        except BaseException as exception:
            exception.with_traceback(self.traceback)  # assigning might be refused: frozen dataclass
            raise
        finally:
            del self  # exception -> traceback -> this frame -> self -> exception

    def reset(self, error: BaseException) -> None:
        """Take the frames of ours off the traceback of an error that ``.value`` raised.

        To be called at the edge, right before a bare ``raise``. It sets the loader's own traceback
        rather than that of this moment less a frame: another thread may be raising the same object.
        """
        if error is self.exception:
            error.with_traceback(self.traceback)
