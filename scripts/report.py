"""Make a report of a sweep: Markdown, figures and raw tables, from nothing but its Parquet rows.

It tells, per game and algorithm, how near to the equilibrium learners come (interquartile means and bootstrap
intervals over seeds), how fast, and which agents err in which direction. docs/benchmark.md is its
output for the committed sweep.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from matplotlib.figure import Figure

from agents.atomic_files import write_atomically
from agents.benchmark import figures, report, summaries, tables
from agents.benchmark.run_folder import RunFolder
from agents.benchmark.store import REDONE, read_rows
from scripts.arguments import refusing_bad_input, run_command


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/report.py."""

    sweep: Annotated[Path, tyro.conf.Positional]
    """The sweep's folder."""
    out: Path = Path("runs/report")
    """Where benchmark.md goes, with its figures and tables in benchmark/; what is there is replaced."""
    notes: Path | None = None
    """Markdown to include, on why some learners stay above others."""


def main(arguments: Arguments) -> None:
    """Read the rows, and write the report."""
    with refusing_bad_input():
        rows = read_rows(arguments.sweep)
        redone = read_rows(arguments.sweep, "redone", REDONE)
        sweep = summaries.Sweep.of(rows, redone)
        notes = _read(arguments.notes)
        folder = RunFolder(arguments.out / "benchmark")
    summary, scale = summaries.summary(sweep), report.references(sweep)
    pictures: dict[str, Figure] = {
        "nash_conv": figures.nash_conv(sweep, summary, scale),
        "retention": figures.retention(sweep, summary),
        "episodes": figures.episodes(sweep),
        "profiles": figures.profiles(sweep),
        **{
            f"learning_{label}": figures.learning(sweep, label, scale.get(label, {})) for label in sweep.games
        },
    }
    for name, figure in pictures.items():
        write_atomically(folder.path / f"{name}.png", _png(figure))
    folder.table("runs.csv", summaries.runs_table(sweep).drop(columns="contestant"))
    folder.table("summary.csv", summary)
    folder.table("curves.csv", summaries.curves_table(sweep))
    folder.table("episodes.csv", summaries.episodes_table(sweep))
    text = report.document(sweep, summary, scale, "benchmark", _command(arguments), notes)
    write_atomically(arguments.out / "benchmark.md", text.encode())
    columns = [
        "game",
        "contestant",
        "runs",
        "failed",
        "nash_conv",
        "nash_conv_low",
        "nash_conv_high",
        "seconds",
    ]
    tables.show(summary[columns], "NashConv: interquartile means and intervals over seeds")
    print(f"report: {arguments.out / 'benchmark.md'}")


def _read(notes: Path | None) -> str | None:
    if notes is None:
        return None
    try:
        return notes.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"notes must be a Markdown file; {notes} cannot be read: {error}") from error


def _png(figure: Figure) -> bytes:
    """The same bytes for the same figure."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, metadata={"Software": None})
    return picture.getvalue()


def _command(arguments: Arguments) -> str:
    notes = "" if arguments.notes is None else f" --notes {arguments.notes}"
    return f"python -m scripts.report {arguments.sweep} --out {arguments.out}{notes}"


if __name__ == "__main__":
    run_command(main, Arguments)
