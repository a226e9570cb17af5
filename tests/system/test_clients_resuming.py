"""Clients of a daemon that is killed, or stopped, in the middle of an answer, and started again by its supervisor."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openglm import AsyncClient, Client
from tests.support.daemon_process import LIMIT_SECONDS, DaemonProcess, configure, serving
from tests.support.tcp_relay import TcpRelay
from tests.system.conftest import Pace

STEP_SECONDS = 0.05
PIPE_BYTES = 65536
"""As much as a pipe holds: one unbuffered read takes all that is in it, and waits where there is nothing."""
# So that the answer is a long one: the tiny model may end a turn at any time.
SAMPLING = ("--seed", "5", "--temperature", "1", "--max-tokens", "60")
SESSION = {"alone": (), "session": ("--session", "home")}


class Supervised:
    """A daemon that is started again whenever it ends."""

    def __init__(self, process: DaemonProcess, pid_file: Path) -> None:
        self._pid_file = pid_file
        self.socket = process.socket

    def signal(self, number: signal.Signals) -> None:
        """Send it to the daemon, not to its parent."""
        os.kill(int(self._pid_file.read_text()), number)


@contextlib.contextmanager
def supervised(folder: Path, pace: Pace) -> Iterator[Supervised]:
    """A daemon that heeds the pace, and its parent."""
    pid_file = folder / "pid"
    command = ("-m", "tests.support.supervisor", str(pid_file), "tests.support.paced_daemon", str(pace.file), "serve")
    with serving(folder, command) as process:
        yield Supervised(process, pid_file)


@pytest.fixture
def undisturbed(tmp_path: Path) -> Path:
    """A configuration of its own for a daemon that nobody disturbs."""
    folder = tmp_path / "quiet"
    folder.mkdir()
    return configure(folder)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A configuration for a daemon that is killed; one that is stopped waits for nobody."""
    folder = tmp_path / "box"
    folder.mkdir()
    return configure(folder, drain_seconds=0)


def command(socket: Path, *words: str) -> list[str]:
    """A command line of autoglmctl."""
    return [sys.executable, "-m", "autoglmctl", "--socket", str(socket), *words]


def told(socket: Path, *words: str) -> bytes:
    """What the command says where nothing happens."""
    return subprocess.run(command(socket, *words), stdout=subprocess.PIPE, check=True, timeout=LIMIT_SECONDS).stdout


@pytest.mark.parametrize("where", SESSION.values(), ids=SESSION)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_generate_survives_the_daemons_end(
    undisturbed: Path, box: Path, pace: Pace, where: tuple[str, ...], end: signal.Signals
) -> None:
    """Twice in one answer; its bytes are those of a daemon that never ended, and people are told why it pauses."""
    words = ("generate", "你好", *SAMPLING, *where)
    with serving(undisturbed) as daemon:
        expected = told(daemon.socket, *words)
    with supervised(box, pace) as daemon:
        pace.seconds(STEP_SECONDS)
        reader = subprocess.Popen(
            command(daemon.socket, *words), bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        with reader:
            assert reader.stdout is not None
            assert reader.stderr is not None
            said, remarks = reader.stdout.read(PIPE_BYTES), b""
            for _ in range(2):
                daemon.signal(end)
                remarks += reader.stderr.readline()
                # What was told before the end is all there by now; behind it comes what the next daemon says.
                said += reader.stdout.read(PIPE_BYTES)
                said += reader.stdout.read(PIPE_BYTES)
            rest, remarks = reader.stdout.readall(), remarks + reader.stderr.readall()
        assert said + rest == expected
        assert len(expected) > len(said), "the answer was over before the second end"
        assert remarks.decode().count("waiting for the") >= 2
        assert reader.returncode == 0
        if where:
            with Client(daemon.socket) as client:
                spoken = client.session("home").messages
            assert [message.content for message in spoken] == ["你好", expected.decode().removesuffix("\n")]


def test_a_broken_answer_is_told_from_its_beginning(undisturbed: Path, box: Path, pace: Pace) -> None:
    """To a person whose terminal died together with the daemon."""
    words = ("generate", "你好", *SAMPLING, "--session", "home")
    with serving(undisturbed) as daemon:
        expected = told(daemon.socket, *words)
    with supervised(box, pace) as daemon:
        pace.seconds(STEP_SECONDS)
        with subprocess.Popen(command(daemon.socket, *words), stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            reader.stdout.read(8)
            daemon.signal(signal.SIGKILL)
            reader.kill()
        told(daemon.socket, "status", "--wait", "60")
        assert told(daemon.socket, "session", "resume", "home") == expected
        assert told(daemon.socket, "session", "resume", "home") == expected


async def test_the_asyncio_client_survives_the_daemons_end(box: Path, pace: Pace) -> None:
    """In a session and outside of one, with log probabilities, at once."""
    options = {"seed": 5, "temperature": 1.0, "max_tokens": 40, "logprobs": 1, "ignore_eos": True}
    with supervised(box, pace) as daemon:
        async with AsyncClient(daemon.socket) as client:
            expected = await client.generate("hello", **options)  # type: ignore[arg-type]
            pace.seconds(STEP_SECONDS)
            for session in ("", "home"):
                stream = client.stream("hello", session_id=session, **options)  # type: ignore[arg-type]
                builder = [await anext(stream) for _ in range(5)]
                daemon.signal(signal.SIGKILL)
                builder += [event async for event in stream]
                tokens = [event for event in builder if hasattr(event, "ids")]
                assert [id_ for token in tokens for id_ in token.ids] == list(expected.ids)
                assert [entry for token in tokens for entry in token.logprobs] == list(expected.logprobs)
                assert "".join(token.text for token in tokens) == expected.text


def test_a_connection_that_breaks_between_the_two_is_no_end(box: Path, pace: Pace) -> None:
    """The daemon goes on, and sees only that its reader has gone. Twice in one answer, in a session and outside."""
    options = {"seed": 5, "temperature": 1.0, "max_tokens": 40, "ignore_eos": True}
    command_line = ("-m", "tests.support.paced_daemon", str(pace.file), "serve")
    with serving(box, command_line) as daemon, TcpRelay(daemon.socket) as relay, Client(relay.address) as client:
        expected = client.generate("hello", **options)  # type: ignore[arg-type]
        pace.seconds(STEP_SECONDS)
        for session in ("", "home"):
            stream = client.stream("hello", session_id=session, **options)  # type: ignore[arg-type]
            texts = stream.texts()
            said = next(texts)
            relay.cut()
            said += next(texts) + next(texts)
            relay.cut()
            assert said + "".join(texts) == expected.text
