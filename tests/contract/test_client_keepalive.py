"""A peer that is gone without a word, and how both sides agree on asking after it."""

from pathlib import Path

import pytest

import openglm
from autoglmd.edge.server import SHORTEST_CLIENT_PING_MS
from openglm import _channel as channel
from tests.support.scripted_server import Hang, ScriptedServer, started
from tests.support.tcp_relay import TcpRelay


def test_the_client_pings_no_more_often_than_the_daemon_takes() -> None:
    """Else the daemon would hang up on it."""
    assert channel.KEEPALIVE_MS >= SHORTEST_CLIENT_PING_MS


def test_a_reader_hears_that_its_daemon_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TCP nobody says goodbye for a box that lost its power: unanswered pings do."""
    monkeypatch.setattr(channel, "KEEPALIVE_MS", 1000)
    monkeypatch.setattr(channel, "KEEPALIVE_TIMEOUT_MS", 2000)
    with ScriptedServer(tmp_path / "s") as server, TcpRelay(server.path) as relay:
        server.play([started(), Hang()])
        with (
            openglm.Client(relay.address, retry=openglm.NO_RETRIES) as client,
            client.stream("x", timeout=20) as stream,
        ):
            next(stream)
            relay.go_silent()
            with pytest.raises(openglm.ConnectionLostError):
                next(stream)
