"""What is said to a Redis or Valkey: each verb is one script, which nothing comes between.

For a key with the digest `D`, in a namespace `ns` (what is in braces puts both into one slot of a
Cluster):

    sf1:v:{ns:D}      the envelope. It ends with its last deadline
    sf1:l:{ns:D}      the lease, a hash:
        t             its token
        r             milliseconds for which this hash outlives it
        w:<process>   a process that waits for it
        ot, o         the flight that ended with nothing that is kept, and how
        n             how many loads have failed in a row
    sf1:g:{ns:F}      how often the function `F` was cleared
    sf1:p:<process>   a channel, of one process: `D`, for which somebody in it may wait
    sf1:inv:<ns>      a channel, of all: kind, process, `D`, and for a `clear` its number

A key is busy while its lease has more than `r` left. Busy without `t`: loads are held off.

What is answered is ``{kind, body, left, lease, failures, question}``, durations in milliseconds; -1
is for ever. The number of the question comes back, as a connection on which somebody was
interrupted may have the answer to an older one.

`memory.Memory` is the model of these: the same verbs, the same replies.
"""

from __future__ import annotations

from hashlib import sha1
from math import inf
from typing import Any, NamedTuple

from .verbs import CLEARED, TOLD, Reply

PREFIX = b"sf1:"

VERBS = "read", "ask", "store", "fail", "give", "renew", "drop", "learn"
"""Those of `verbs`; and what a store knows of how often a function was cleared."""

_HEAD = """
local V, L, Q = KEYS[1], KEYS[2], ARGV[1]
local function value()
  local e = redis.call('GET', V)
  if not e or #e < 48 or string.sub(e, 1, 2) ~= 's1' then return false, 0 end
  return e, redis.call('PTTL', V)
end
local function reply(kind, body, left, lease, failures)
  return {kind, body or '', left or 0, lease or 0, tonumber(failures or 0), Q}
end
local function wake(waiting, d)
  for _, field in ipairs(waiting) do
    if string.sub(field, 1, 2) == 'w:' then
      redis.call('PUBLISH', 'sf1:p:' .. string.sub(field, 3), d)
    end
  end
end
local function others(token)
  local h = redis.call('HMGET', L, 't', 'ot')
  if h[1] == token then return false end
  if h[2] == token then return reply('D') end
  local e, left = value()
  if e and string.sub(e, 9, 24) == token then return reply('D') end
  return reply('X', e, left)
end
local function failed(done)
  return type(done) == 'table' and done.err and done
end
"""
# `others`: the answer where the lease is another's, or where this is a client's second try.


class Script(NamedTuple):
    text: bytes
    sha: bytes


def _script(text: str) -> Script:
    code = (_HEAD + text).encode()
    return Script(code, sha1(code, usedforsecurity=False).hexdigest().encode())


READ = _script("""
local e, left = value()
if e then return reply('F', e, left) end
return reply('D')
""")

ASK = _script("""
local token, lease, retain, mode, process = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local waited, seen = ARGV[7], ARGV[8]
local e, left = value()
local fresh, servable = 0, false
if e then
  local version = string.sub(e, 9, 24)
  local swr, sie = struct.unpack('>d', e, 25), struct.unpack('>d', e, 33)
  fresh = left < 0 and 1e15 or left - 1000 * math.max(swr, sie)
  servable = fresh + 1000 * swr > 0
  if version == waited or (fresh > 0 and mode ~= 'r' and version ~= seen) then
    return reply('F', e, left)
  end
  if version == seen and mode == 'l' then e, left, servable = false, 0, false end
end
local h = redis.call('HMGET', L, 't', 'ot', 'o', 'n', 'r')
local busy = redis.call('PTTL', L) - tonumber(h[5] or retain)
if h[1] == token then return reply('L', e, left, busy, h[4]) end
if h[1] and busy > 0 then
  if mode == 'b' or (mode == 'l' and servable) then return reply('S', e, left, busy) end
  if redis.call('HLEN', L) < 1024 then redis.call('HSET', L, 'w:' .. process, 1) end
  return reply('W', h[1], 0, busy)
end
if h[2] and h[2] == waited then return reply('O', h[3]) end
if e and mode ~= 'r' then
  if busy > 0 then return reply('S', e, left, busy) end
  if mode == 'l' and fresh <= 0 and servable then return reply('S', e, left) end
end
redis.call('HSET', L, 't', token, 'r', retain)
redis.call('HDEL', L, 'ot', 'o')
redis.call('PEXPIRE', L, lease + retain)
return reply('L', e, left, tonumber(lease), h[4])
""")
# A client's second try has the lease already. Who waits beyond 1,024 processes looks now and then.

STORE = _script("""
local token, envelope, px, told, d = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local fenced = others(token)
if fenced then return fenced end
local waiting = redis.call('HKEYS', L)
redis.call('DEL', L)
local done
if px < 0 then
  redis.call('DEL', V)
  done = redis.pcall('HSET', L, 'ot', token, 'o', envelope)
  redis.call('PEXPIRE', L, told)
elseif px == 0 then
  done = redis.pcall('SET', V, envelope)
else
  done = redis.pcall('SET', V, envelope, 'PX', px)
end
wake(waiting, d)
return failed(done) or reply('D')
""")
# Where there is no room for it, who waits is not kept waiting until the lease ends.

FAIL = _script("""
local token, text, hold, retain = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local told, d = ARGV[6], ARGV[7]
local fenced = others(token)
if fenced then return fenced end
local waiting, n = redis.call('HKEYS', L), redis.call('HGET', L, 'n')
redis.call('DEL', L)
local done = redis.pcall('HSET', L, 'ot', token, 'o', text)
if hold > 0 and not failed(done) then
  redis.call('HSET', L, 'n', (n or 0) + 1, 'r', retain)
  redis.call('PEXPIRE', L, hold + retain)
else
  redis.call('PEXPIRE', L, told)
end
wake(waiting, d)
return failed(done) or reply('D')
""")

GIVE = _script("""
if redis.call('HGET', L, 't') ~= ARGV[2] then return reply('X') end
local waiting = redis.call('HKEYS', L)
redis.call('DEL', L)
wake(waiting, ARGV[3])
return reply('D')
""")

RENEW = _script("""
if redis.call('HGET', L, 't') ~= ARGV[2] then return reply('X') end
redis.call('HSET', L, 'r', ARGV[4])
redis.call('PEXPIRE', L, ARGV[3] + ARGV[4])
return reply('D')
""")

DROP = _script("""
local kind, d, process, envelope, px = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
if kind ~= 'r' then
  local waiting = redis.call('HKEYS', L)
  redis.call('DEL', L)
  if kind ~= 'f' then redis.call('DEL', V) end
  if kind == 'p' and px == 0 then redis.pcall('SET', V, envelope) end
  if kind == 'p' and px > 0 then redis.pcall('SET', V, envelope, 'PX', px) end
  wake(waiting, d)
end
redis.call('PUBLISH', ARGV[7], kind .. process .. d)
return reply('D')
""")
# Where a value that was put finds no room, or is over, it is invalidated: others load it.

CLEAR = _script("""
local number = redis.call('INCR', V)
redis.call('PUBLISH', ARGV[4], 'c' .. ARGV[3] .. ARGV[2] .. number)
return reply('D', '', 0, 0, number)
""")

LEARN = _script("""
local number, known = tonumber(redis.call('GET', V) or 0), tonumber(ARGV[2])
if number < known then
  number = known
  redis.call('SET', V, string.format('%d', known))
end
return reply('D', '', 0, 0, number)
""")
# A store that has lost a number gets it again: under an older one it may have older values.


class Question(NamedTuple):
    """A script, and what it takes."""

    script: Script
    keys: tuple[bytes, ...]
    args: tuple[Any, ...]

    def words(self, number: bytes) -> tuple[Any, ...]:
        """What follows the script in its command; `number` is the question's, see `reply`."""
        return len(self.keys), *self.keys, number, *self.args


class Questions:
    """The verbs as questions, by their names, of one process."""

    def __init__(self, namespace: str, lease: float, retain: float) -> None:
        self._namespace = namespace.encode()
        self._news = PREFIX + b"inv:" + self._namespace
        self._lease, self._retain = int(lease * 1000), int(retain * 1000)
        self.process = b""

    def channels(self) -> tuple[bytes, bytes]:
        """What a process listens to: wake-ups, and news."""
        return PREFIX + b"p:" + self.process.hex().encode(), self._news

    def _keys(self, d: bytes) -> tuple[bytes, bytes]:
        tag = b"{%b:%b}" % (self._namespace, d.hex().encode())
        return PREFIX + b"v:" + tag, PREFIX + b"l:" + tag

    def _function(self, f: bytes) -> tuple[bytes]:
        return (PREFIX + b"g:{%b:%b}" % (self._namespace, f.hex().encode()),)

    def read(self, d: bytes) -> Question:
        return Question(READ, self._keys(d), ())

    def ask(self, d: bytes, token: bytes, mode: str, waited: bytes, seen: bytes) -> Question:
        who = self.process.hex()
        args = token, self._lease, self._retain, mode, who, waited, seen
        return Question(ASK, self._keys(d), args)

    def store(self, d: bytes, token: bytes, envelope: bytes, keep: float | None) -> Question:
        px = _NOTHING if keep is None else abs(_px(keep))  # what is over is kept for a moment
        return Question(STORE, self._keys(d), (token, envelope, px, _TOLD, d))

    def fail(self, d: bytes, token: bytes, text: bytes, hold: float) -> Question:
        args = token, text, int(hold * 1000), self._retain, _TOLD, d
        return Question(FAIL, self._keys(d), args)

    def give(self, d: bytes, token: bytes) -> Question:
        return Question(GIVE, self._keys(d), (token, d))

    def renew(self, d: bytes, token: bytes) -> Question:
        return Question(RENEW, self._keys(d), (token, self._lease, self._retain))

    def drop(self, kind: str, d: bytes, envelope: bytes = b"", keep: float = 0.0) -> Question:
        if kind == CLEARED:
            return Question(CLEAR, self._function(d), (d, self.process, self._news))
        args = kind, d, self.process, envelope, _px(keep), self._news
        return Question(DROP, self._keys(d), args)

    def learn(self, f: bytes, known: int) -> Question:
        return Question(LEARN, self._function(f), (known,))


_TOLD = int(TOLD * 1000)
_FOR_EVER, _NOTHING = 0, -1


def _px(keep: float) -> int:
    """Seconds as the milliseconds that scripts take."""
    if keep > _LONGEST:
        return _FOR_EVER
    return int(keep * 1000) or _NOTHING if keep > 0 else _NOTHING


_LONGEST = 1e11
"""Seconds. Redis counts milliseconds in 64 bits, from 1970 on."""


def reply(answer: list[Any], question: bytes) -> Reply | None:
    """What was answered to a question; None: that was another one."""
    kind, body, left, lease, failures, its = answer
    if its != question:
        return None
    return Reply(kind.decode(), body, inf if left < 0 else left / 1000, lease / 1000, failures)
