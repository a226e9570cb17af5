"""Writes docs/benchmarks/ from the raw results; nothing in it is typed by hand but docs/benchmarks/notes.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.experiments.section import Experiment, Section
from benchmarks.fingerprint import commit_text
from benchmarks.markdown import table
from benchmarks.plots import draw
from benchmarks.settings import Settings
from benchmarks.store import FINGERPRINT, Store
from benchmarks.verdict import LEAST_ROUNDS

NOTES = "notes.md"
"""What a person concluded from the figures; taken into the page as it stands."""
PREFACE = """\
# Benchmarks

Written by `make bench`; do not edit. Ratios are of runs that took turns on one machine, each engine in a process of its
own with {threads} threads: the median of the rounds, and the range that they covered. A ratio's goal is "reached" or
"missed" if it was so in all rounds, and "within noise" where the range straddles it. A limit that is set for every
round is judged by the worst one. Fewer than {least} rounds are not judged. Weights are random (speed does not depend on
their values) and the same for every engine.
"""


def write(settings: Settings, store: Store, experiments: Sequence[Experiment]) -> Path:
    """Write README.md and its plots into the output folder; return the page's path.

    Raises:
        MixedResultsError: the results do not belong on one page.
    """
    store.check()
    settings.output.mkdir(parents=True, exist_ok=True)
    sections = [section for experiment in experiments for section in experiment.report(settings, store)]
    for section in sections:
        for plot in section.plots:
            draw(plot, settings.output)
    page = settings.output / "README.md"
    page.write_text(_page(settings, store, sections), encoding="utf-8")
    return page


def _origin(store: Store) -> list[list[str]]:
    """Return the machine's facts, which are the same for all results, and every commit that some were measured at."""
    found = [result[FINGERPRINT] for result in store.under(".").values() if FINGERPRINT in result]
    commits = sorted({commit_text(each) for each in found})
    facts = found[-1]["machine"] if found else {}
    return [[name, value] for name, value in facts.items()] + [["measured at commit", text] for text in commits]


def _page(settings: Settings, store: Store, sections: Sequence[Section]) -> str:
    notes = settings.output / NOTES
    parts = [PREFACE.format(threads=settings.threads, least=LEAST_ROUNDS)]
    parts += [notes.read_text(encoding="utf-8").strip() + "\n"] if notes.exists() else []
    parts += ["## The machine\n", table(["", ""], _origin(store))]
    for section in sections:
        parts += [f"## {section.title}\n", section.body]
        parts += [f"![{plot.title}]({plot.file})\n" for plot in section.plots]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)
