"""Writes docs/benchmarks/ from the raw results; nothing in it is typed by hand but the pages' notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.experiments.section import Experiment, Section
from benchmarks.fingerprint import commit_text
from benchmarks.markdown import table
from benchmarks.plots import draw
from benchmarks.settings import Settings
from benchmarks.store import FINGERPRINT, Store, experiment_of
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

Conversations that survive on disk have [a page of their own](sessions.md).
"""
SESSIONS_PREFACE = """\
# Benchmarks: conversations on disk

Written by `make bench`; do not edit. Both sides of a ratio took turns in one run on one machine, in processes of their
own, with {threads} compute threads where nothing else is said: the median of the rounds, and the range that they
covered. How goals are judged is told on [the other page](README.md). Weights are random, except for glm-small's.

How it is measured, and why so: [measuring conversations on disk](../decisions/measuring-sessions.md).
"""


@dataclass(frozen=True)
class Page:
    """One file of the report.

    Attributes:
        notes: what a person concluded from the figures; taken into the page as it stands, if it is there.
        preface: what it begins with.
    """

    file: str
    notes: str
    preface: str


README = Page("README.md", NOTES, PREFACE)
SESSIONS = Page("sessions.md", "sessions-notes.md", SESSIONS_PREFACE)


def write(settings: Settings, store: Store, experiments: Sequence[Experiment], page: Page = README) -> Path:
    """Write a page and its plots into the output folder; return the page's path.

    Raises:
        MixedResultsError: the results do not belong on one page.
    """
    store.check()
    settings.output.mkdir(parents=True, exist_ok=True)
    sections = [section for experiment in experiments for section in _sections(experiment, settings, store)]
    for section in sections:
        for plot in section.plots:
            draw(plot, settings.output)
    file = settings.output / page.file
    names = [experiment.name for experiment in experiments]
    file.write_text(_text(settings, page, _origin(store, names), sections), encoding="utf-8")
    return file


def _sections(experiment: Experiment, settings: Settings, store: Store) -> Sequence[Section]:
    """What an experiment found. One that has a title says that it has found nothing yet."""
    found = experiment.report(settings, store)
    title = getattr(experiment, "title", "")
    if found or not title:
        return found
    return [Section(title, f"Not measured yet: `python -m benchmarks --only {experiment.name}`.")]


def _origin(store: Store, experiments: Sequence[str]) -> list[list[str]]:
    """Return the machine's facts, which are the same for all results, and every commit that some were measured at."""
    results = [result for key, result in store.under(".").items() if experiment_of(key) in experiments]
    found = [result[FINGERPRINT] for result in results if FINGERPRINT in result]
    commits = sorted({commit_text(each) for each in found})
    facts = found[-1]["machine"] if found else {}
    return [[name, value] for name, value in facts.items()] + [["measured at commit", text] for text in commits]


def _text(settings: Settings, page: Page, origin: list[list[str]], sections: Sequence[Section]) -> str:
    notes = settings.output / page.notes
    parts = [page.preface.format(threads=settings.threads, least=LEAST_ROUNDS)]
    parts += [notes.read_text(encoding="utf-8").strip() + "\n"] if notes.exists() else []
    parts += ["## The machine\n", table(["", ""], origin) if origin else "Nothing has been measured yet.\n"]
    for section in sections:
        parts += [f"## {section.title}\n", section.body]
        parts += [f"![{plot.title}]({plot.file})\n" for plot in section.plots]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)
