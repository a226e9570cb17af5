"""docs/clients.md is what the clients are."""

import re
from pathlib import Path

import pytest
import typer

import openglm
from autoglmctl.app import build_app
from autoglmctl.manpage import leaves
from tests.support.scripted_server import ScriptedServer, answer

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
# The words in its code spans; a code block's fence has three backticks, and is none.
CODE = set(re.findall(r"\w+", " ".join(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", PAGE))))
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.split()[-1])
def test_the_examples_run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python block of the page does what it says, against a daemon that answers."""
    with ScriptedServer(tmp_path / "s") as server:
        monkeypatch.setenv("AUTOGLMD_SOCKET", str(server.path))
        server.play(*[answer("ok")] * 8)
        exec(compile(code, "docs/clients.md", "exec"), {"__name__": "example"})  # noqa: S102 - our own page
        assert server.requests


def test_every_public_name_is_on_the_page() -> None:
    """Nothing that can be imported is undocumented."""
    assert set(openglm.__all__) - CODE == set()


def test_every_option_of_a_request_is_on_the_page() -> None:
    """The keyword arguments of generate, stream and chat."""
    assert openglm.GenerateOptions.__annotations__.keys() - CODE == set()


def test_every_command_is_on_the_page() -> None:
    """With its own row."""
    commands = [" ".join(path) for path, _ in leaves(typer.main.get_command(build_app()))]
    assert [name for name in commands if f"| `{name}" not in PAGE] == []
