"""The errors that soloflight itself raises. A loader's own exceptions are never wrapped."""

from __future__ import annotations


class FlightError(Exception):
    """Base class of the errors that soloflight raises about a flight."""


class WaitTimeout(FlightError, TimeoutError):
    """A caller's ``wait_timeout`` passed before the flight that it waited for had landed.

    Whoever else is aboard still gets the outcome. A thread's flight goes on; one of an
    ``async def`` is cancelled when its last caller has left.

    Or, with ``max_flight_age``: as many loads of the key hang already as ``max_abandoned`` allows.
    """


class FlightDeadlock(FlightError, RuntimeError):
    """Waiting for this flight would never end.

    A loader asked for its own key, directly or round a cycle of loads that wait for each other; or
    a thread was about to block the event loop that must run the load (the message shows the cycle);
    or the interpreter's end has frozen the thread that runs it.
    """


class RemoteLoadError(FlightError):
    """A loader failed in another process, with an exception that could not be made again here.

    Python's own exceptions can, and those of classes that an option of the function names
    (``error_ttl``, ``stale_if_error``), where the codec carries their ``args``.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(type_name, message)
        self.type_name = type_name
        """The exception's class, with its module."""
        self.message = message
        """What its ``str`` said, at most 1,000 bytes."""

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message} (in another process)"
