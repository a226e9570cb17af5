"""The service under a real systemd, installed, used and encrypted with the commands of docs/service.md."""

import json
import subprocess

import pytest

from tests.support.systemd_box import RefusedError, SystemdBox
from tests.systemd.conftest import SOURCES, shell_blocks

pytestmark = [pytest.mark.systemd, pytest.mark.timeout(600)]

# Long, whatever the model would say: nearly every token is as probable as any other.
LONG = "--raw --seed 7 --temperature 5 --max-tokens 1500"
KILL = "systemctl kill --kill-whom=main --signal=KILL autoglmd"
PIPE_BYTES = 65536


def restarts(box: SystemdBox) -> int:
    """How often systemd has started the daemon again."""
    return int(box.run("systemctl show autoglmd --property=NRestarts --value"))


def let_it_fail_again(box: SystemdBox) -> None:
    """Forget how often it was killed lately: this many tests are no crash loop."""
    box.run("systemctl reset-failed autoglmd", user="root")


def test_generate_survives_kill_9_of_the_daemon_under_systemd(box: SystemdBox) -> None:
    """Twice in one answer, which is byte for byte that of a daemon nobody kills; its user sees a pause."""
    let_it_fail_again(box)
    command = f"autoglmctl generate 'Once upon a time' {LONG}"
    expected = box.run(command).encode()
    before = restarts(box)
    with subprocess.Popen(
        box.words(f"{command} --session killed"), bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        said, remarks = reader.stdout.read(PIPE_BYTES), b""
        for _ in range(2):
            box.run(KILL, user="root")
            remarks += reader.stderr.readline()
            for _ in range(2):
                said += reader.stdout.read(PIPE_BYTES)
        assert len(said) < len(expected), "the answer was over before the second kill"
        said += reader.stdout.readall()
        remarks += reader.stderr.readall()
    assert said == expected
    assert remarks.decode().count("waiting for the") >= 2
    assert reader.returncode == 0
    assert restarts(box) == before + 2


def test_a_conversation_goes_on_behind_kill_9_and_a_restart(box: SystemdBox) -> None:
    """Its next answers are those of a conversation that nothing came between."""
    let_it_fail_again(box)
    asked = ("你好,介绍一下你自己", "dim the bedroom lights to 30 percent", "and in the kitchen?")

    def ask(session: str, text: str) -> str:
        # The daemon may be on its way: the client waits for it.
        return box.run(f"autoglmctl status --wait 60 > /dev/null; autoglmctl generate --session {session} '{text}'")

    expected = [ask("quiet", text) for text in asked]
    said = [ask("moved", asked[0])]
    box.run(KILL, user="root")
    said.append(ask("moved", asked[1]))
    box.run("systemctl restart autoglmd", user="root")
    told = json.loads(box.run(f"autoglmctl generate --json --session moved '{asked[2]}'"))
    assert [*said, told["text"] + "\n"] == expected
    assert told["usage"]["cached_tokens"] > 0
    assert told["cache_tier"] == "disk"


def test_conversations_are_for_the_daemon_alone_and_the_socket_for_its_group(box: SystemdBox) -> None:
    """Whoever else is on the box gets neither."""
    box.run("id stranger || useradd --create-home stranger", user="root")
    box.run("autoglmctl generate --session private 'turn on the light'")
    for command in ("autoglmctl status", "ls /var/lib/autoglmd/sessions"):
        with pytest.raises(RefusedError):
            box.run(command, user="stranger")
    modes = box.run("find /var/lib/autoglmd/sessions -type f -printf '%m %u\\n' | sort -u", user="root")
    assert modes.split() == ["600", "autoglmd"]


def test_the_commands_of_the_page_encrypt_what_there_is(box: SystemdBox) -> None:
    """With a key that systemd keeps, and hands to the daemon alone."""
    let_it_fail_again(box)
    said = "turn the fluorescent aquarium off"
    box.run(f"autoglmctl generate --session secret '{said}'")
    in_the_clear = f"grep -rl '{said}' /var/lib/autoglmd/sessions"
    assert box.run(in_the_clear, user="root")
    encrypt = next(block for block in shell_blocks() if "make-session-key" in block)
    assert "secret" in box.run(f"cd {SOURCES}\n{encrypt}")
    assert box.run(f"{in_the_clear} || true", user="root") == ""
    box.run(KILL, user="root")
    box.run("autoglmctl status --wait 60")
    assert said in box.run("autoglmctl session show secret")
    box.run("autoglmctl generate --session secret 'and the lamp?'")
