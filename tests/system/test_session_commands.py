"""autoglmctl on the sessions of a real daemon: forked, rewound, moved as a file, and taken up by the next question."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from autoglmctl.app import build_app
from tests.support.daemon_process import configure, serving

GREEDY = ("--temperature", "0", "--max-tokens", "12")


def test_a_conversation_is_forked_rewound_and_moved(tmp_path: Path) -> None:
    """Each copy goes on as the one it was taken of would have; what a file held is gone on with, too."""
    with serving(configure(tmp_path)) as daemon:

        def autoglmctl(*words: str) -> Result:
            done = CliRunner().invoke(build_app(), ["--socket", str(daemon.socket), *words])
            assert done.exit_code == 0, done.stderr
            return done

        def ask(session: str, question: str) -> str:
            return autoglmctl("generate", question, "--session", session, *GREEDY).stdout

        def shown(session: str) -> dict[str, object]:
            found: dict[str, object] = json.loads(autoglmctl("session", "show", session, "--json").stdout)
            return found

        ask("home", "one")
        second = ask("home", "two")
        before = shown("home")
        autoglmctl("session", "fork", "home", "first", "--at-turn", "1")
        assert ask("first", "two") == second
        autoglmctl("session", "rewind", "home")
        assert ask("home", "two") == second
        assert shown("home")["messages"] == before["messages"] == shown("first")["messages"]
        file = tmp_path / "home.session"
        autoglmctl("session", "export", "home", str(file))
        assert file.stat().st_mode & 0o777 == 0o600
        autoglmctl("session", "import", str(file), "moved")
        assert ask("moved", "three") == ask("home", "three")
        assert shown("moved")["turns"] == shown("home")["turns"]
        autoglmctl("session", "delete", "home")
        autoglmctl("session", "import", str(file))
        assert shown("home")["messages"] == before["messages"]
        assert "3 sessions" in autoglmctl("status").stdout
