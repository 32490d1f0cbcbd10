"""Make a report of a sweep: Markdown, figures and raw tables, from nothing but its Parquet rows.

For each game and algorithm, it shows how close to the equilibrium learners come (interquartile means and
bootstrap intervals over seeds), how fast, and which agents err in which direction. docs/benchmark.md is the
report of the committed sweep.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from agents.text_files import read_text
from scripts.arguments import refusing_bad_input, run_command

if TYPE_CHECKING:
    from agents.benchmark.run_folder import RunFolder

_PAGE = "../benchmark.md"
_SHOWN = ["game", "contestant", "runs", "failed", "nash_conv", "nash_conv_low", "nash_conv_high", "seconds"]


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.report."""

    sweep: Annotated[Path, tyro.conf.Positional]
    """The sweep's folder."""
    out: Path = Path("runs/report")
    """Folder for benchmark.md, with its figures and tables in benchmark/; earlier files are replaced."""
    notes: Path | None = None
    """Markdown to include, with comments <!-- check: COLUMN of LEARNER on GAME <= NUMBER -->."""


def main(arguments: Arguments) -> None:
    """Read the rows, and write the report."""
    from agents.benchmark import figures, report, summaries, tables
    from agents.benchmark.losses import draw_episodes
    from agents.benchmark.store import REDONE, read_rows

    with refusing_bad_input():
        rows = read_rows(arguments.sweep)
        sweep = summaries.Sweep.of(rows, read_rows(arguments.sweep, "redone", REDONE))
        notes = read_text(arguments.notes, "notes") if arguments.notes else ""
        summary, references = summaries.summarize(sweep), report.measure_references(sweep)
        words = [arguments.sweep, "--out", arguments.out]
        words += ["--notes", arguments.notes] if arguments.notes else []
        command = f"python -m scripts.report {shlex.join(map(str, words))}"
        text = report.fill_template(sweep, summary, references, "benchmark", command, notes)
        folder = _open_folder(arguments.out, sweep.games)
    with folder:
        pictures = {
            "nash_conv": figures.draw_nash_conv(sweep, summary, references),
            "retention": figures.draw_retention(sweep, summary),
            "episodes": draw_episodes(sweep),
            "profiles": figures.draw_profiles(sweep),
        }
        for label in sweep.games:
            pictures[f"learning_{label}"] = figures.draw_learning(sweep, label, references.get(label, {}))
        folder.claim()
        for name, figure in pictures.items():
            folder.figure(f"{name}.png", figure, dpi=110, versioned=False)
        folder.table("runs.csv", summaries.runs_table(sweep))
        folder.table("summary.csv", summary)
        folder.table("curves.csv", summaries.curves_table(sweep))
        folder.table("episodes.csv", summaries.episodes_table(sweep))
        folder.text(_PAGE, text)
    tables.show(summary[_SHOWN], "NashConv: interquartile means and intervals over seeds")
    print(f"report: {arguments.out / 'benchmark.md'}")


def _open_folder(out: Path, games: Iterable[str]) -> RunFolder:
    """The folder of figures and tables, to which the page beside it belongs."""
    from agents.benchmark.run_folder import RunFolder

    files = ["nash_conv.png", "retention.png", "episodes.png", "profiles.png"]
    files += ["runs.csv", "summary.csv", "curves.csv", "episodes.csv", _PAGE]
    files += [f"learning_{game}.png" for game in games]
    return RunFolder.within(out, "benchmark", "report", files, new=True)


if __name__ == "__main__":
    run_command(main, Arguments)
