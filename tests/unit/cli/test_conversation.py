"""A chat's memory and its slash commands."""

import json
from pathlib import Path

import pytest

from autoglmctl.chat_commands import ChatCommands
from autoglmctl.conversation import Conversation, Turn
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


def test_what_is_saved_is_for_its_owners_eyes(
    conversation: Conversation, commands: ChatCommands, tmp_path: Path
) -> None:
    """The second time, too, and then nothing that lies beside it is taken for the chat's own."""
    letter, saved, beside = tmp_path / "letter", tmp_path / "a.md", tmp_path / ".a.md.new"
    letter.write_text("Dear", encoding="utf-8")
    beside.symlink_to(letter)
    for _ in range(2):
        commands.run(f"/save {saved}")
        assert saved.stat().st_mode & 0o777 == 0o600
        conversation.add("more", "much")
    assert (letter.read_text(encoding="utf-8"), beside.is_symlink()) == ("Dear", True)


def test_save_writes_what_is_no_text(commands: ChatCommands, tmp_path: Path) -> None:
    """A terminal may give bytes that are none; the rest is worth keeping."""
    commands.run("/system a\udcff")
    commands.run(f"/save {tmp_path}/a.md")
    assert "## system\n\na?\n" in (tmp_path / "a.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/save", "Name a file"),
        ("/save /proc/x/y", "cannot be written"),
        ("/save ~nobody-here/x", "no user of that name"),
    ],
)
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


def test_help_says_that_clear_deletes_a_session(commands: ChatCommands, capsys: pytest.CaptureFixture[str]) -> None:
    """Before one tries it."""
    commands.run("/help")
    assert "a session is deleted from the daemon" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("question", "quoted"),
    [
        ("你好", "你好"),
        ("a\nb\t c\x1b[2J", "a b c�[2J"),
        ("x" * 60, "x" * 60),
        ("x" * 61, "x" * 59 + "…"),
    ],
)
def test_rewind_says_which_question_it_takes_back(
    capsys: pytest.CaptureFixture[str], question: str, quoted: str
) -> None:
    """Its beginning, on one line, and no command to the terminal."""
    conversation = Conversation()
    conversation.add(question, "An answer.")
    ChatCommands(conversation, Terminal()).run("/rewind")
    assert capsys.readouterr().err == f'The question "{quoted}" and its answer are taken back.\n'
    assert conversation.messages == []


def test_what_the_daemon_dropped_is_not_sent_again(conversation: Conversation) -> None:
    """It would be dropped again each time, with more to compute; the system message stays."""
    conversation.add("two", "B")
    conversation.lost(2)
    assert said(conversation.messages) == ["Be brief.", "two", "B"]


def said(messages: list[Turn]) -> list[str]:
    """Their texts."""
    return [message["content"] for message in messages]
