"""Regenerate experiments: the post's own, and those that it left as next steps (docs/results.md).

Every experiment computes its oracles anew and plays the learners that `make variants` has trained, where
there are any. It prints its answers, and writes tables, figure and its section of docs/results.md to a run
folder; with --docs they also replace those in the documentation.
"""

from __future__ import annotations

import io
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from agents.atomic_files import write_atomically
from agents.benchmark import tables
from agents.benchmark.run_folder import RunFolder
from scripts.arguments import refusing_bad_input, run_command
from scripts.experiments import EXPERIMENTS
from scripts.experiments.finding import Finding, document_of_results, update


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/reproduce.py."""

    names: Annotated[tuple[Literal[tuple(EXPERIMENTS)], ...], tyro.conf.Positional] = ("one", "two")  # type: ignore[valid-type]
    """Experiments to regenerate."""
    out: Path = Path("runs/reproduce")
    """Run folder; earlier results in it are replaced."""
    docs: Path | None = None
    """Folder of the documentation, whose results.md and figures are to be replaced, too."""


def main(arguments: Arguments) -> None:
    """Run the experiments, print their answers and tables, and write everything down."""
    with refusing_bad_input():
        folder = RunFolder(arguments.out)
        if arguments.docs:
            for name in arguments.names:
                document_of_results(arguments.docs / "results.md", name)
    folder.record("reproduce", arguments)
    for name in arguments.names:
        print(f"{name} …")
        finding: Finding = EXPERIMENTS[name]()
        folder.figure(f"{name}.png", finding.figure)
        folder.text(f"{name}.md", finding.section(name))
        for table, data in finding.tables.items():
            folder.table(f"{name}_{table}.csv", data)
        for table, caption in finding.shown.items():
            tables.show(finding.tables[table], caption)
        for answer in finding.answers:
            print(textwrap.fill(f"{answer.question} {answer.answer} ({answer.effect})", 110))
        if arguments.docs:
            _document(arguments.docs, name, finding)
    print(f"run folder: {arguments.out}")


def _document(docs: Path, name: str, finding: Finding) -> None:
    (docs / "results").mkdir(exist_ok=True)
    picture = io.BytesIO()
    finding.figure.savefig(picture, format="png", dpi=110)
    write_atomically(docs / "results" / f"{name}.png", picture.getvalue())
    for table in finding.shown:
        data = finding.tables[table].to_csv(index=False).encode()
        write_atomically(docs / "results" / f"{name}_{table}.csv", data)
    update(docs / "results.md", name, finding)


if __name__ == "__main__":
    run_command(main, Arguments)
