"""A chat's memory and its slash commands."""

import json
from pathlib import Path

import pytest

from autoglmctl.chat_commands import ChatCommands
from autoglmctl.conversation import Conversation
from autoglmctl.terminal import Terminal


@pytest.fixture
def conversation() -> Conversation:
    """One question with its answer."""
    conversation = Conversation("Be brief.")
    conversation.add("你好", "你好!")
    return conversation


@pytest.fixture
def commands(conversation: Conversation) -> ChatCommands:
    """The commands on it."""
    return ChatCommands(conversation, Terminal())


def test_messages_begin_with_the_system_message(conversation: Conversation) -> None:
    """And go on with the turns, in order."""
    assert [turn["role"] for turn in conversation.messages] == ["system", "user", "assistant"]


def test_no_system_message_means_none() -> None:
    """An empty one is not sent."""
    assert Conversation().messages == []


def test_a_question_is_no_turn_before_its_answer(conversation: Conversation) -> None:
    """One that was refused is as if it had never been asked."""
    before = conversation.messages
    assert conversation.messages_with("?") == [*before, {"role": "user", "content": "?"}]
    assert conversation.messages == before


def test_clear_keeps_the_system_message(conversation: Conversation, commands: ChatCommands) -> None:
    """Who the model is stays; what was said goes."""
    commands.run("/clear")
    assert conversation.messages == [{"role": "system", "content": "Be brief."}]


def test_system_sets_and_shows(
    conversation: Conversation, commands: ChatCommands, capsys: pytest.CaptureFixture[str]
) -> None:
    """With text it sets, without it shows."""
    commands.run("/system Be kind.")
    commands.run("/system")
    assert conversation.system == "Be kind."
    assert capsys.readouterr().err.splitlines()[-1] == "System message: Be kind."


def test_save_writes_markdown_or_json(conversation: Conversation, commands: ChatCommands, tmp_path: Path) -> None:
    """The file's name decides."""
    commands.run(f"/save {tmp_path}/a.md")
    commands.run(f"/save {tmp_path}/a.json")
    assert "## assistant\n\n你好!\n" in (tmp_path / "a.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == conversation.messages


def test_save_replaces_what_this_chat_saved(
    conversation: Conversation, commands: ChatCommands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative or whole, it is the same file."""
    monkeypatch.chdir(tmp_path)
    commands.run("/save a.md")
    conversation.add("more", "much")
    commands.run(f"/save {tmp_path}/a.md")
    assert "## user\n\nmore\n" in Path("a.md").read_text(encoding="utf-8")


def test_save_leaves_a_file_of_others_alone(
    commands: ChatCommands, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """However often it is asked; the remark says what to do."""
    path = tmp_path / "letter.md"
    path.write_text("Dear", encoding="utf-8")
    commands.run(f"/save {path}")
    commands.run(f"/save {path}")
    assert path.read_text(encoding="utf-8") == "Dear"
    said = f"{path} is there already, and not from this chat. Name another file.\n"
    assert capsys.readouterr().err == said * 2


@pytest.mark.parametrize(("line", "said"), [("/save", "Name a file"), ("/save /proc/x/y", "cannot be written")])
def test_save_says_what_is_wrong(
    commands: ChatCommands, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    """The conversation goes on."""
    commands.run(line)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("line", ["/exit", "/quit"])
def test_exit_ends_it(commands: ChatCommands, line: str) -> None:
    """Both words that people type."""
    commands.run(line)
    assert commands.done


def test_help_lists_every_command(commands: ChatCommands, capsys: pytest.CaptureFixture[str]) -> None:
    """What works is what is shown."""
    commands.run("/help")
    shown = capsys.readouterr().err
    assert all(name in shown for name in commands._known if name != "/quit")
