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
