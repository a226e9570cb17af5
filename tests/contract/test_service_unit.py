"""The contract with systemd: the unit is sound, and agrees with the daemon's defaults."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from autoglmd.config.reading import load_config
from autoglmd.config.rooms import DEFAULT_SOCKET, DEFAULT_STATE_DIR, ServerConfig
from autoglmd.sessions.key import CREDENTIAL

ROOT = Path(__file__).parents[2]
SERVICE_PAGE = ROOT / "docs" / "service.md"
UNITS = ROOT / "systemd"
UNIT = UNITS / "autoglmd.service"
# Of systemd's own scale from 0 to 10; below 2 is what it calls OK.
EXPOSURE_TENTHS = 20


@pytest.fixture
def service() -> configparser.SectionProxy:
    """The [Service] section."""
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser["Service"]


@pytest.fixture
def runnable_unit(tmp_path: Path) -> Path:
    """The unit with a program that exists, since autoglmd may not be installed here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/autoglmd", "/bin/true"))
    return unit


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze; skip where there is none."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def test_systemd_understands_every_key(runnable_unit: Path) -> None:
    """A misspelt hardening option would otherwise be ignored."""
    result = analyze("verify", "--recursive-errors=yes", runnable_unit)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_child_that_memory_ends_for_does_not_take_the_daemon_with_it(service: configparser.SectionProxy) -> None:
    """And no limit is guessed, which would be wrong for most models."""
    assert service["OOMPolicy"] == "continue"
    assert [key for key in service if key.startswith("Memory") and key != "MemoryDenyWriteExecute"] == []


def test_the_service_is_locked_up(runnable_unit: Path) -> None:
    """By systemd's own measure."""
    result = analyze("security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", runnable_unit)
    assert result.returncode == 0, result.stdout


def test_the_socket_is_in_the_services_runtime_directory(service: configparser.SectionProxy) -> None:
    """The daemon's default needs no configuration."""
    assert Path("/run", service["RuntimeDirectory"]) == DEFAULT_SOCKET.parent


def test_the_state_is_in_the_services_state_directory(service: configparser.SectionProxy) -> None:
    """The only place, with the cache, that it may write to."""
    assert Path("/var/lib", service["StateDirectory"]) == DEFAULT_STATE_DIR


def test_the_group_may_reach_the_socket(service: configparser.SectionProxy) -> None:
    """Its folder can be entered by the group, and the socket opened."""
    assert int(service["RuntimeDirectoryMode"], 8) & 0o010
    assert ServerConfig().socket_mode & 0o060 == 0o060


def test_stopping_has_time_to_drain(service: configparser.SectionProxy) -> None:
    """Systemd does not kill what would end by itself, at the default."""
    assert float(service["TimeoutStopSec"]) > ServerConfig().drain_seconds + 10


def test_the_sample_configuration_is_accepted(service: configparser.SectionProxy) -> None:
    """As it ships, and it is the one that the unit names."""
    load_config(UNITS / "autoglmd.toml")
    assert service["ExecStart"].endswith("--config /etc/autoglmd/autoglmd.toml")


def test_the_user_of_the_unit_is_the_one_that_sysusers_makes(service: configparser.SectionProxy) -> None:
    """One name in three files."""
    made = (UNITS / "sysusers.d" / "autoglmd.conf").read_text()
    assert f"\nu {service['User']} " in made
    assert f" {service['Group']} " in (UNITS / "tmpfiles.d" / "autoglmd.conf").read_text()


def test_nothing_is_reported_to_anybody() -> None:
    """A box in a home or a factory tells no third party which models it runs."""
    assert "\nEnvironment=ORT_DISABLE_TELEMETRY=1\n" in UNIT.read_text()


def test_the_drop_in_gives_the_service_the_key_under_the_name_that_it_looks_for() -> None:
    """And the unit, which a newer one replaces, has none."""
    line = f"\nLoadCredentialEncrypted={CREDENTIAL}:/etc/credstore.encrypted/{CREDENTIAL}\n"
    assert line in (UNITS / "drop-ins" / "session-key.conf").read_text()
    assert "LoadCredential" not in UNIT.read_text()


def test_the_recipe_for_a_key_works_beside_the_unit(service: configparser.SectionProxy) -> None:
    """The drop-in is a file here, and the key is not where RemoveIPC= removes it as the unit stops."""
    recipe = SERVICE_PAGE.read_text().split("## Encrypting conversations")[1].split("```")[1]
    assert "install -D -m 644 systemd/drop-ins/session-key.conf " in recipe
    assert "systemctl edit" not in recipe
    assert service["RemoveIPC"] == "yes"
    assert "/dev/shm" not in recipe  # noqa: S108 - it is about that folder
    assert recipe.index("autoglmctl session list") < recipe.index("rm -r")
