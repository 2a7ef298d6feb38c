"""`RedisTier`: the verbs on a Redis or Valkey, for threads and for event loops.

Each verb is one round trip. Where there is no answer, it is `DOWN`, whatever the reason; that is
logged once, until the store answers again. The words are those of `scripts`; what the store says by
itself is heard by `push`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from functools import partial
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from .breaker import Breaker
from .clients import Clients
from .leases import Debt, Lease
from .loops import Confused, OnLoops
from .push import Listener
from .scripts import VERBS, Question, Questions, reply
from .tier import Tier, positive
from .verbs import CLEARED, DONE, DOWN, INVALIDATED, PUT, TOLD, Reply

if TYPE_CHECKING:
    from typing_extensions import Self

UNKNOWN = -2
"""The generation of a function as long as the store could not be asked."""


class RedisTier(Tier):
    """Processes of any number of hosts share loads and values through a Redis or a Valkey.

    One load per expiry, fleet-wide: the others wait for it, a few milliseconds longer than it
    takes. Where the store does not answer, each process loads for itself, as without a tier; no
    caller gets an error because of it. What is wrong is logged (logger ``soloflight.tier``), once,
    and in `health`.

    Redis 6.2 or later, Valkey 7.2 or later; one primary, a Cluster, or what Sentinel says. Set its
    ``maxmemory-policy`` to ``volatile-ttl`` or ``noeviction``: others may drop leases.

    Args:
        client: of redis-py, for threads or for asyncio. It is not used itself, but others like it.
        namespace: keeps apart who has the same store: an application, a stage.
        lease: seconds after which another process loads where one has died. Those of a load that
            goes on are renewed.
        retain: seconds for which failures in a row are remembered after that.
        max_load: seconds after which a lease is no longer renewed.
        timeout: seconds after which a question to the store has failed.

    >>> tier = RedisTier.from_url("redis://localhost:6379/0", namespace="shop")
    >>> tier
    RedisTier('redis://localhost:6379/0', namespace='shop')
    """

    def __init__(
        self,
        client: Any,
        *,
        namespace: str = "",
        lease: float = 3.0,
        retain: float = 30.0,
        max_load: float = 60.0,
        timeout: float = 0.25,
    ) -> None:
        super().__init__(namespace=namespace, lease=lease, retain=retain, max_load=max_load)
        if self.retain < TOLD:
            raise ValueError(f"retain must be {TOLD:g} seconds or more, but is {retain!r}")
        self.timeout = positive(timeout, "timeout")
        self.clients = client if type(client) is Clients else Clients(client, self.timeout)
        self._questions = Questions(namespace, self.lease, self.retain)
        # Single operations only:
        self._generations: dict[bytes, int] = {}
        self._learned: dict[bytes, None] = {}  # those that can be relied on
        self._numbers_of_questions = count(1)
        self._begin()
        for verb in VERBS:
            setattr(self, verb, partial(self._say, verb, getattr(self._questions, verb)))

    @classmethod
    def from_url(cls, url: str, *, timeout: float = 0.25, **options: Any) -> Self:
        """A tier on the server of a URL: ``redis://``, ``rediss://`` or ``unix://``."""
        clients: Any = Clients.of_url(url, positive(timeout, "timeout"))
        return cls(clients, timeout=timeout, **options)

    def __repr__(self) -> str:
        return f"RedisTier({str(self.clients)!r}, namespace={self.namespace!r})"

    def _begin(self) -> None:
        """What each process has of its own."""
        self._questions.process = self.process
        self._client: Any = None
        self._refused = ""  # the verb that the store has refused, though it answers
        self.breaker = Breaker(2 * self.timeout)
        self.listener = Listener(self)
        self.aio = OnLoops(self)

    def forked(self) -> None:
        owed = self.debts()
        super().forked()
        self._begin()
        self._learned.clear()
        self.cut_off()  # nobody has listened for this process so far
        for debt in owed:
            # Its parent pays as well. A value may be replaced by a newer one between the two.
            kind = INVALIDATED if debt.kind == PUT else debt.kind
            self.owe(debt._replace(kind=kind, inherited=True))

    def channels(self) -> tuple[bytes, bytes]:
        """What it listens to: wake-ups, and news."""
        return self._questions.channels()

    # Questions

    def client(self) -> Any:
        """What threads ask with."""
        if self._client is None:  # two at once: one of the clients is dropped, with no connection
            self._client = self.clients.for_threads()
        return self._client

    def _say(self, verb: str, question: Any, *what: Any) -> Reply:
        if self.closed or (self.closing and verb == "ask") or not self.breaker.lets():
            return DOWN
        asked = monotonic()
        try:
            found = self._answer(question(*what))
        except Exception as error:
            return self.failed(verb, error, asked)
        finally:
            if self.closed:
                self._hang_up()  # it was closed in between: a connection was made after that
        return self.heard(verb, what, found)

    def _answer(self, question: Question) -> Reply:
        client = self.client()
        for _ in "12":
            number = b"%d" % next(self._numbers_of_questions)
            words = question.words(number)
            try:
                answer = client.execute_command("EVALSHA", question.script.sha, *words)
            except self.clients.redis.exceptions.NoScriptError:
                answer = client.execute_command("EVAL", question.script.text, *words)
            found = reply(answer, number)
            if found is not None:
                return found
            self.clients.hang_up(client)
        raise Confused

    def renew_all(self, leases: list[Lease]) -> list[Reply] | Reply:
        if len(leases) < 2 or self.clients.is_cluster:  # whose parts are asked one by one
            return super().renew_all(leases)
        if self.closed or not self.breaker.lets():
            return DOWN
        asked = monotonic()
        try:
            found = self._answers([self._questions.renew(lease.d, lease.token) for lease in leases])
        except Exception as error:
            return self.failed("renew", error, asked)
        refused = next((one for one in found if isinstance(one, Exception)), None)
        if refused is None:
            self.answered("renew")
        else:
            self.failed("renew", refused, asked)
        return [DOWN if isinstance(one, Exception) else one for one in found]

    def _answers(self, questions: list[Question]) -> list[Reply | Exception]:
        """What is answered to several of a kind, sent in one message. Each may be refused."""
        client = self.client()
        numbers = [b"%d" % next(self._numbers_of_questions) for _ in questions]
        command, script = "EVAL", questions[0].script.text  # then it has the script of the others
        with client.pipeline(transaction=False) as line:
            for question, number in zip(questions, numbers, strict=True):
                line.execute_command(command, script, *question.words(number))
                command, script = "EVALSHA", question.script.sha
            answers = line.execute(raise_on_error=False)
        found = []
        for answer, number in zip(answers, numbers, strict=True):
            each = answer if isinstance(answer, Exception) else reply(answer, number)
            if each is None:
                self.clients.hang_up(client)
                raise Confused
            found.append(each)
        return found

    def answered(self, verb: str) -> None:
        """The store has answered."""
        self.breaker.answered()
        if not self.listener.listens:
            self.listener.hurry()
        if self._refused in ("", verb):
            self._refused = ""
            self.up()

    def heard(self, verb: str, what: Any, found: Reply) -> Reply:
        self.answered(verb)
        if verb == "learn" or (verb == "drop" and what[0] == CLEARED):
            self.turn(what[verb == "drop"], found.failures, own=verb == "drop")
        return found

    def failed(self, verb: str, error: Exception, asked: float) -> Reply:
        """It has not, or does not do what it was asked for."""
        if isinstance(error, RecursionError):
            return DOWN  # which is not the store's fault
        exceptions = self.clients.redis.exceptions
        hangs = isinstance(error, (exceptions.TimeoutError, asyncio.TimeoutError, TimeoutError))
        if hangs or isinstance(error, (exceptions.ConnectionError, OSError)):
            self.breaker.failed(asked, hangs)
        else:
            self._refused = self._refused or verb  # others may be answered meanwhile
            self.breaker.answered()
        if isinstance(error, exceptions.ReadOnlyError):
            with suppress(Exception):  # its primary is another one now: ask anew who that is
                self.clients.hang_up(self.client())
        said = self.clients.without_secrets(f"{type(error).__name__}: {error}")
        return self.down(said[:300])

    # Generations

    def generation(self, f: bytes) -> int:
        return self._generations.get(f, UNKNOWN)

    def is_ready(self, f: bytes) -> bool:
        return f in self._learned

    def ready(self, f: bytes) -> bool:
        if self.closed:
            return False
        self.listener.begun()
        return self.is_ready(f) or self.learn(f, self._known_generation(f)) is not DOWN

    def _known_generation(self, f: bytes) -> int:
        return max(0, self.generation(f))

    learn: Any

    def learn_all(self) -> bool:
        """Ask for the generations of all functions; whether that was answered."""
        functions = list(self._functions)
        return all(self.learn(f, self._known_generation(f)) is not DOWN for f in functions)

    def turn(self, f: bytes, generation: int, own: bool = False) -> None:
        """A function is of a generation. `own`: as it was cleared here."""
        known = self.generation(f)
        if generation > known:
            self._owe_anew(f, known, generation)  # first: nothing is trusted in between
            self._generations[f] = generation
        self._learned[f] = None
        if generation > known >= 0 and not (own and generation == known + 1):
            self.hear(CLEARED, f)

    def _owe_anew(self, f: bytes, known: int, generation: int) -> None:
        """Owe what is owed of a function under the digests of another generation."""
        for debt in self.debts():
            if debt.of is None or debt.f != f or debt.kind == CLEARED:
                continue
            # What was put may be older than what others have loaded since a `clear` of theirs.
            kind = INVALIDATED if debt.kind == PUT and known >= 0 else debt.kind
            d = debt.of.digest(debt.key, generation)
            self.know(d, debt.of, debt.key)
            self.owe(debt._replace(kind=kind, d=d))
            if d != debt.d:
                self.owed.pop(debt.d, None)

    def owe(self, debt: Debt) -> None:
        self.listener.missed |= not self.listener.listens
        super().owe(debt)

    def lost(self) -> None:
        """News have been missed, and are heard again: drop all that is here, and learn anew.

        But a load whose lease still holds was not fenced meanwhile, and goes on.
        """
        self._learned.clear()
        leases, held = self.keeper.held(), dict[bytes, set[Hashable]]()
        for lease in leases:
            if (known := self._known.get(lease.d)) is not None:
                function, key = known
                if (shared := function()) is not None:
                    held.setdefault(shared.f, set()).add(key)
        for f, function in list(self._functions.items()):
            if (shared := function()) is not None:
                shared.lose(held.get(f, ()))
        for lease in leases:
            if self.renew(lease.d, lease.token).kind != DONE:
                self.hear(INVALIDATED, lease.d)
        for d in list(self.bells):
            self.ring(d)

    # The end

    def close(self) -> None:
        """Give back all leases, and end threads and connections. Functions load on, each alone."""
        if self.closed:
            return
        super().close()
        self.listener.end()
        self.aio.end()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._client is not None:
            with suppress(Exception):
                self.clients.hang_up(self._client, in_use=True)

    async def aclose(self) -> None:
        """The same in a task."""
        await self.aio.aclose()
        await asyncio.to_thread(self.close)
