"""Reproduce experiments: the post's own, and those that it left as next steps (docs/results.md).

Each experiment computes its oracles, prints its answers, and writes tables, a figure and a section of results
to a run folder; with --docs they replace those in the documentation, too. It fails if its numbers do not
support what its template in docs/templates/results claims.

Measures of learners are those of the documentation's tables. With --learners FOLDER, the learners in that
folder are loaded and played instead; `make variants` trains them in runs/variants. Their files hold pickles,
and loading one runs code that it names: name only a folder that you trust.
"""

from __future__ import annotations

import contextlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from scripts.arguments import refusing_bad_input, run_command
from scripts.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from agents.benchmark.run_folder import RunFolder
    from scripts.experiments.finding import Finding


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.reproduce."""

    names: Annotated[tuple[Literal[tuple(EXPERIMENTS)], ...], tyro.conf.Positional] = ("one", "two")  # type: ignore[valid-type]
    """Experiments to reproduce."""
    out: Path = Path("runs/reproduce")
    """Run folder; earlier results in it are replaced."""
    learners: Path | None = None
    """Folder whose trained learners are loaded, which runs what is in them, and played."""
    docs: Path | None = None
    """Folder of the documentation; its results.md, tables and figures are updated."""


def main(arguments: Arguments) -> None:
    """Run the experiments, print their answers and tables, and write everything down."""
    from agents.benchmark.run_folder import RunFolder
    from scripts.experiments import page

    with contextlib.ExitStack() as opened:
        with refusing_bad_input():
            if arguments.learners and not arguments.learners.is_dir():
                raise ValueError(
                    f"--learners must name a folder of learners; {arguments.learners} is not a folder"
                )
            files = [file for name in arguments.names for file in (f"{name}.png", f"{name}_*.csv")]
            sections = [f"{name}.md" for name in arguments.names]
            if docs := arguments.docs and page.open_documentation(arguments.docs, files):
                opened.enter_context(docs)
            writes = [*files, *sections]
            folder = opened.enter_context(RunFolder(arguments.out, "reproduce", writes=writes))
        folder.record(arguments)
        for name in arguments.names:
            print(f"{name} …")
            compute = pkgutil.resolve_name(f"scripts.experiments.{EXPERIMENTS[name]}")
            with refusing_bad_input():
                finding: Finding = compute(arguments.learners)
                section = write(folder, name, finding)
            if docs:
                update_documentation(docs, folder.path, name, section, finding)
    print(f"run folder: {arguments.out}")


def write(folder: RunFolder, name: str, finding: Finding) -> str:
    """Write an experiment's tables, figure and section to the run folder, print them, return the section.

    Raises:
        ValueError: If the numbers do not support the claims of the section's template.
    """
    from agents.benchmark.tables import show
    from scripts.experiments import page

    template = page.read_template(name)
    folder.figure(f"{name}.png", finding.figure)
    tables = {table: page.with_headings(template, finding, table) for table in finding.tables}
    for table, data in tables.items():
        folder.table(f"{name}_{table}.csv", data)
    for table, (caption, _) in page.tables_of(template).items():
        if table in tables:
            show(tables[table], caption)
    section = page.render(template, finding)
    folder.text(f"{name}.md", section + "\n")
    for question, answer, effect in page.answers_in(section):
        print(f"{question}\n  {answer}\n  ({effect})")
    if finding.learners == "recorded":
        print(f"learners as recorded in docs/results/{name}_*.csv: --learners FOLDER plays others")
    return section


def update_documentation(docs: RunFolder, run: Path, name: str, section: str, finding: Finding) -> None:
    """Copy an experiment's figure and tables from the run folder, and replace its section of results.md."""
    from agents.atomic_files import write_atomically
    from scripts.experiments import page

    docs.claim()
    shown = page.tables_of(page.read_template(name))
    files = [f"{name}_{table}.csv" for table in shown if table in finding.tables]
    if finding.learners in (None, "trained") or not (docs.path / f"{name}.png").exists():
        files.append(f"{name}.png")
    else:
        print(f"{docs.path / name}.png is unchanged: it shows learners, which --learners did not name")
    for file in files:
        docs.file(file, (run / file).read_bytes())
    results = docs.path.parent / "results.md"
    text = page.assemble(results.read_text(encoding="utf-8"), {name: section})
    write_atomically(results, text.encode(errors="replace"))


if __name__ == "__main__":
    run_command(main, Arguments)
