"""How users' objects are shown, in errors, logs and reprs."""

from __future__ import annotations

MOST = 200
"""Characters."""

_INTERRUPTIONS = (KeyboardInterrupt, SystemExit, GeneratorExit)


def shown(thing: object) -> str:
    """The ``repr`` of a user's object, cut where it is long. It never raises.

    Where the object has none (a database row that is detached, say), that is said in its place.
    Only interruptions pass: they are the caller's.
    """
    try:
        text = str.__str__(repr(thing))  # not that of a subclass
    except _INTERRUPTIONS:
        raise
    except BaseException as error:  # some are no `Exception`: the panics of Rust
        return f"<{type(thing).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= MOST else text[: MOST - 1] + "…"
