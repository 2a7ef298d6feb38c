"""What may be given as a tier, and as a codec: all that is known of them where there are none."""

from __future__ import annotations

from typing import Any, Protocol


class AnyTier:
    """What processes share: one of those that `soloflight.tiers` has."""


class Codec(Protocol):
    """What makes bytes of a value, and the value of its bytes.

    Either may raise whatever it likes: the value is then not shared. `name` goes into all that is
    stored, so that what another codec wrote is never read; change it with the format.
    """

    @property
    def name(self) -> str: ...
    def encode(self, value: Any, /) -> bytes: ...
    def decode(self, data: bytes, /) -> Any: ...
