"""What a chat knows and changes of a session that the daemon keeps."""

import pytest

from autoglmctl.chat_commands import ChatCommands
from autoglmctl.conversation import Conversation, Turn
from autoglmctl.terminal import Terminal


class Keeper:
    """A session that the daemon keeps, of questions without answers."""

    session_id = "home"

    def __init__(self, *questions: str) -> None:
        self.turns = [{"role": "user", "content": question} for question in questions]

    def told(self) -> list[Turn]:
        """All that it says."""
        return list(self.turns)

    def turn_count(self) -> int:
        """How much that is."""
        return len(self.turns)

    def rewind(self) -> None:
        """Take the last one back."""
        self.turns.pop()

    def forget(self) -> bool:
        """Have none any more."""
        was_there = bool(self.turns)
        self.turns.clear()
        return was_there


def in_session(keeper: Keeper, system: str = "") -> Conversation:
    """A chat in it."""
    return Conversation(system, keeper)  # type: ignore[arg-type]  # it does all that is asked here


@pytest.mark.parametrize(
    ("agrees", "left", "remark"),
    [
        (False, 1, "Session home stays as it is.\n"),
        (True, 0, "Session home is deleted; the conversation begins anew.\n"),
    ],
)
def test_clear_asks_a_person_before_it_deletes_a_session(
    capsys: pytest.CaptureFixture[str], agrees: bool, left: int, remark: str
) -> None:
    """It would be gone for good; the question says how much."""
    keeper, asked = Keeper("one"), []

    def answer(question: str) -> bool:
        asked.append(question)
        return agrees

    conversation = in_session(keeper)
    ChatCommands(conversation, Terminal(), answer).run("/clear")
    assert asked == ["Delete session home with 1 turn from the daemon?"]
    assert (len(keeper.turns), len(conversation.messages), capsys.readouterr().err) == (left, left, remark)


@pytest.mark.parametrize("has_session", [True, False])
def test_clear_asks_nobody_where_nothing_is_kept(capsys: pytest.CaptureFixture[str], has_session: bool) -> None:
    """There is nothing to lose on the daemon."""

    def answer(question: str) -> bool:
        raise AssertionError(question)

    ChatCommands(in_session(Keeper()) if has_session else Conversation(), Terminal(), answer).run("/clear")
    assert capsys.readouterr().err == "The conversation begins anew.\n"


def test_clear_from_a_pipe_deletes_a_session_without_a_question() -> None:
    """Nobody would answer it."""
    keeper = Keeper("one")
    ChatCommands(in_session(keeper), Terminal()).run("/clear")
    assert keeper.turns == []


def test_a_session_that_says_nothing_yet_cannot_be_forked(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a session all the same, and another command line would not help."""
    ChatCommands(in_session(Keeper()), Terminal()).run("/fork away")
    assert capsys.readouterr().err == "There is nothing to fork yet.\n"


def test_a_session_keeps_the_system_message_with_which_it_has_begun(capsys: pytest.CaptureFixture[str]) -> None:
    """Or none."""
    keeper = Keeper("one")
    ChatCommands(in_session(keeper), Terminal()).run("/system S")
    keeper.turns.insert(0, {"role": "system", "content": "T"})
    ChatCommands(in_session(keeper), Terminal()).run("/system S")
    without, another = capsys.readouterr().err.splitlines()
    assert without == "The session has begun without one. /clear deletes it and begins anew."
    assert another == "The session has begun with another one. /clear deletes it and begins anew."


def test_rewind_says_what_the_daemon_takes_back(capsys: pytest.CaptureFixture[str]) -> None:
    """Another terminal may have asked more in the session."""
    keeper = Keeper("one")
    conversation = in_session(keeper)
    keeper.turns += Keeper("two").turns
    ChatCommands(conversation, Terminal()).run("/rewind")
    assert (capsys.readouterr().err, said(conversation.messages)) == (
        'The question "two" and its answer are taken back.\n',
        ["one"],
    )


def test_a_session_that_begins_anew_gets_its_system_message_with_the_next_question() -> None:
    """Once; the question before that was answered without it stays what was said."""
    conversation = in_session(Keeper("one"), "S")
    assert said(conversation.messages_with("two")) == ["two"]
    conversation.add("two", "B", anew=True)
    assert said(conversation.messages) == ["two", "B"]
    assert said(conversation.messages_with("three")) == ["S", "three"]
    conversation.add("three", "C")
    assert said(conversation.messages) == ["two", "B", "S", "three", "C"]
    assert said(conversation.messages_with("four")) == ["four"]


def test_it_does_where_the_first_answer_of_the_new_one_was_stopped() -> None:
    """Then the daemon's word is all that tells."""
    keeper = Keeper()
    conversation = in_session(keeper, "S")
    conversation.add("one", "A")
    keeper.turns = Keeper("two").turns
    conversation.broke_off("two", "")
    assert said(conversation.messages_with("three")) == ["S", "three"]


def said(messages: list[Turn]) -> list[str]:
    """Their texts."""
    return [message["content"] for message in messages]
