"""The demo's origin and its clients."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from soloflight.demo import _origin, _schemes
from soloflight.demo._load import Answer, Clients, TurnedAway
from soloflight.demo._origin import HOST, HOT_KEY, Origin, OriginError
from soloflight.demo._settings import Settings

PATIENCE = 60.0


class Server:
    """An origin within this process."""

    def __init__(self, folder: Path, capacity: int, cost: float) -> None:
        _origin._create(folder / "origin.sqlite")
        self.server = _origin._Server(0, folder / "origin.sqlite", capacity, cost)
        self.origin = Origin(self.server.server_address[1])
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, capacity=2, cost=0.02)
    yield server
    server.close()


def test_the_origin_serves_no_more_than_its_capacity_at_a_time(server: Server) -> None:
    def client() -> None:
        _schemes.fetch(server.origin, HOT_KEY)

    clients = [threading.Thread(target=client) for _ in range(7)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert server.origin.progress() == (7, 0)
    calls = server.origin.calls()
    assert len({call.version for call in calls}) == 7
    assert all(call.arrival <= call.start <= call.end - 0.02 for call in calls)
    for call in calls:
        assert sum(other.start <= call.start < other.end for other in calls) <= 2


def test_the_origin_gives_each_answer_its_own_version(server: Server) -> None:
    first = _schemes.fetch(server.origin, HOT_KEY)
    second = asyncio.run(_schemes.fetch_async(server.origin, HOT_KEY))
    assert first.body == second.body
    assert first.version < second.version


def test_the_origin_fails_when_it_is_told_to(server: Server) -> None:
    now = time.monotonic()
    server.origin.fail(now, now + PATIENCE)
    with pytest.raises(OSError, match="503"):
        _schemes.fetch(server.origin, HOT_KEY)
    with pytest.raises(OSError, match="503"):
        asyncio.run(_schemes.fetch_async(server.origin, HOT_KEY))
    server.origin.fail(now, now)
    assert _schemes.fetch(server.origin, HOT_KEY).version == 3
    assert [call.failed for call in server.origin.calls()] == [True, True, False]


def test_an_item_that_is_not_there_is_an_error(server: Server) -> None:
    with pytest.raises(OSError, match="404"):
        _schemes.fetch(server.origin, "nothing")
    with pytest.raises(OSError, match="404"):
        asyncio.run(_schemes.fetch_async(server.origin, "nothing"))
    with pytest.raises(OSError, match="404"):
        _schemes.fetch(server.origin, "../calls")


def test_an_origin_that_is_not_there_is_an_error() -> None:
    with socket.create_server((HOST, 0)) as free:
        origin = Origin(free.getsockname()[1])
    with pytest.raises(OriginError, match="went away"):
        origin.progress()


def test_an_origin_that_hangs_up_is_an_error() -> None:
    with socket.create_server((HOST, 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1024)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(OSError, match="went away"):
            asyncio.run(_schemes.fetch_async(Origin(listener.getsockname()[1]), HOT_KEY))
        thread.join()


def test_a_client_that_hangs_up_is_no_news(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (BrokenPipeError(), ValueError("a bug")):
        try:
            raise error
        except Exception:
            server.server.handle_error(None, (HOST, 0))
    err = capsys.readouterr().err
    assert "a bug" in err
    assert "BrokenPipeError" not in err


def test_the_origin_ends_with_its_standard_input_and_takes_its_folder_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = signal.getsignal(signal.SIGINT)
    try:
        monkeypatch.setattr("sys.stdin", io.StringIO())
        assert _origin._serve(0, 1, 0.0) == 0
        with socket.create_server((HOST, 0)) as taken:
            assert _origin._serve(taken.getsockname()[1], 1, 0.0) == 2
    finally:
        signal.signal(signal.SIGINT, before)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["port"] > 0
    assert "in use" in second["error"]
    assert not list(tmp_path.iterdir())


class Reader:
    """Two reads fail, the one that warms the cache first; the next is turned away; then stop."""

    def __init__(self) -> None:
        self.tries = iter([OSError("cold"), OSError("no answer"), TurnedAway()])
        self.done = threading.Event()

    def __call__(self, key: str) -> Answer:
        for error in self.tries:
            raise error
        self.done.set()
        return Answer(key, 7)

    async def wait(self, key: str) -> Answer:
        return self(key)


@pytest.mark.parametrize("kind", ["threads", "tasks"])
def test_clients_count_what_they_get(kind: str) -> None:
    clients = Clients(Settings(clients=1, think=0.0001, retry=0.0001))
    reader = Reader()
    began = time.monotonic()
    if kind == "threads":
        clients.start_threads(reader)
    else:
        clients.start_tasks(reader.wait)
    assert reader.done.wait(PATIENCE)
    clients.stop()
    (tally,) = clients.tallies
    assert clients.answers == len(tally.answers) >= 1
    assert (len(tally.failures), tally.turned_away) == (1, 1)
    (failure,), answer = tally.failures, tally.answers[0]
    # The answer includes the pause after being turned away.
    assert began <= clients.began <= failure.began <= failure.ended <= answer.began
    assert answer.latency >= 0.0001
    assert answer.version == 7
