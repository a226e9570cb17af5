"""`python -m benchmarks`: measures what has not been measured yet and writes docs/benchmarks/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.checkpoints import SHAPES
from benchmarks.experiments import EXPERIMENTS, OF_ENGINES, OF_SESSIONS
from benchmarks.settings import QUICK_ROUNDS, ROUNDS, Settings
from benchmarks.store import MixedResultsError, Store


def parse(arguments: Sequence[str] | None = None) -> tuple[Settings, list[str], bool]:
    """Return the settings, the names of the experiments to measure, and whether to measure at all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    defaults = Settings()
    parser.add_argument("--only", nargs="+", choices=sorted(EXPERIMENTS), help="measure these experiments only")
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), help="measure these shapes only")
    parser.add_argument("--rounds", type=int, help=f"rounds of turns ({ROUNDS}; with --quick {QUICK_ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="few rounds, kept apart from the full results")
    parser.add_argument("--report-only", action="store_true", help="write the page from what has been measured")
    parser.add_argument("--work", type=Path, default=defaults.work, help="models and raw results")
    parser.add_argument("--output", type=Path, default=defaults.output, help="where the page and its plots go")
    parser.add_argument("--peers-python", default=defaults.peers_python, help="interpreter that has the peers")
    patience = "seconds to wait before each measurement for others to leave the machine alone"
    parser.add_argument("--patience", type=float, default=defaults.patience_seconds, help=patience)
    retakes = "how often to take a measurement again that others disturbed; the least disturbed one counts"
    parser.add_argument("--retakes", type=int, default=defaults.retakes, help=retakes)
    options = parser.parse_args(arguments)
    settings = Settings(
        work=options.work,
        output=options.output,
        peers_python=options.peers_python,
        shapes=tuple(options.shapes or defaults.shapes),
        rounds=options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
        quick=options.quick,
        patience_seconds=options.patience,
        retakes=options.retakes,
    )
    return settings, options.only or list(EXPERIMENTS), not options.report_only


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    settings, chosen, measuring = parse(arguments)
    store = Store(settings.results, settings.patience_seconds, settings.retakes)
    try:
        _run(settings, store, chosen, measuring)
    except MixedResultsError as error:
        sys.exit(str(error))


def _run(settings: Settings, store: Store, chosen: Sequence[str], measuring: bool) -> None:
    store.check(measuring)
    if measuring:
        # Experiments put their own scratch beside the models, and one of them may come before any model is made.
        settings.work.mkdir(parents=True, exist_ok=True)
        for name in chosen:
            EXPERIMENTS[name].measure(settings, store)
    for page, experiments in ((report.README, OF_ENGINES), (report.SESSIONS, OF_SESSIONS)):
        print(f"written: {report.write(settings, store, experiments, page)}")


if __name__ == "__main__":
    main()
