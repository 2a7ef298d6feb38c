"""Datagrams between the processes of one host, each of which only says: look at the news.

Each process has a socket in the directory that it shares with the others. A datagram to one that
has many unread is not needed, and one that is lost does no harm: what there is to know stands in
the file. The socket of a process that has died is removed by whoever writes to it first.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakMethod

PREFIX = "news-"
LONGEST = 100
"""Bytes of the path of a socket: 104 on macOS, 108 on Linux, with the zero at its end."""
STOP = b"stop"


class Post:
    """The socket of this process, and a thread that waits for what comes.

    `look` is called then, and each `pause` seconds besides; where it says no, the thread ends.
    """

    def __init__(self, folder: str, look: Callable[[], bool], pause: float) -> None:
        self._folder, self._look, self._pause = folder, look, pause
        self._name = PREFIX + os.urandom(6).hex()
        self._socket: socket.socket | None = None
        self._near = -1  # the directory: a way to it that is short enough
        self._starting = threading.Lock()
        self.is_open = self._closed = False
        if len(self._path(self._name, folder)) > LONGEST and sys.platform != "linux":
            raise ValueError(
                f"{folder}: a path with fewer than {LONGEST - 20} bytes is needed here, "
                "for the sockets in it"
            )

    def _path(self, name: str, folder: str = "") -> str:
        path = os.path.join(folder or self._folder, name)
        if len(os.fsencode(path)) > LONGEST and sys.platform == "linux":
            if self._near < 0:
                self._near = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
            return f"/proc/self/fd/{self._near}/{name}"
        return path

    def open(self) -> None:
        """Begin to listen. Raises OSError where that cannot be."""
        with self._starting:
            if self.is_open or self._closed:
                return
            mine = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._name = PREFIX + os.urandom(6).hex()
                mine.bind(self._path(self._name))
                mine.settimeout(self._pause)
                self._socket = mine
                threading.Thread(
                    target=_listen, args=(mine, self._look), name="soloflight news", daemon=True
                ).start()
                self.is_open = True
            except RuntimeError as error:  # no thread can be started, as in `Keeper.begin`
                mine.close()
                raise OSError(str(error)) from error
            except BaseException:
                mine.close()
                raise

    def mend(self) -> None:
        """Listen anew, where somebody has removed the socket."""
        if self.is_open and not os.path.exists(self._path(self._name)):
            self.reopen()

    def reopen(self) -> None:
        with self._starting:
            self._stop()
        self.open()

    def tell(self) -> None:
        """Have all others look."""
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as post:
            post.setblocking(False)
            for name in os.listdir(self._folder):
                if not name.startswith(PREFIX) or name == self._name:
                    continue
                try:
                    post.sendto(b"look", self._path(name))
                except (ConnectionRefusedError, ConnectionResetError):
                    with suppress(OSError):
                        os.unlink(os.path.join(self._folder, name))
                except OSError:
                    pass  # it has many that it has not read, or is gone

    def close(self) -> None:
        """Stop for good, and leave nothing in the directory."""
        with self._starting:
            self._closed = True  # who is in the middle of a verb may come to `open` after this
            self._stop()

    def _stop(self) -> None:
        mine, self._socket, self.is_open = self._socket, None, False
        if mine is None:
            return
        path = self._path(self._name)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as post:
            post.setblocking(False)
            post.sendto(STOP, path)  # its thread closes it; or, where that is full, at its end
        with suppress(OSError):
            os.unlink(path)
        self._forget_folder()

    def _forget_folder(self) -> None:
        if self._near >= 0:
            with suppress(OSError):
                os.close(self._near)
            self._near = -1

    def forked(self) -> None:
        """The socket is the parent's: what comes there is not for a child."""
        self._starting = threading.Lock()
        if self._socket is not None:
            self._socket.close()
        self._socket, self.is_open = None, False
        self._forget_folder()


def _listen(mine: socket.socket, look: Callable[[], bool]) -> None:
    with mine:
        while True:
            try:
                if mine.recv(16) == STOP:
                    return
            except TimeoutError:
                pass
            except OSError:
                return  # closed
            if not look():
                return


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that does not keep its object; False where that is gone."""
    alive = WeakMethod(method)

    def call(*args: Any) -> Any:
        bound = alive()
        return False if bound is None else bound(*args)

    return call
