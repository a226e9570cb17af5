"""No file grows until nobody reads it whole."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("benchmarks", "clients", "daemon", "models", "tests")
MOST_LINES = 300


def generated() -> tuple[Path, ...]:
    """Folders of files that a program writes, which ruff leaves alone as well."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return tuple(ROOT / folder for folder in settings["tool"]["ruff"]["extend-exclude"])


@pytest.mark.parametrize("room", ROOMS)
def test_a_file_has_so_many_lines_that_one_reads_it_whole(room: str) -> None:
    """Who is about to write the next line finds the second noun in it, and gives that a file of its own."""
    others = generated()
    files = [path for path in (ROOT / room).rglob("*.py") if not any(map(path.is_relative_to, others))]
    lines = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in files}
    assert lines
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
