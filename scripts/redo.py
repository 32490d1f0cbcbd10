"""Repeat runs of a sweep from their folders alone, and compare the results with the records.

Under the same versions a run should give the same weights bit for bit, or at least the same evaluation. The
comparison is added to OUT/redone of the sweep that a folder lies in, for scripts/report.py. The exit code is
1 if a run fails, or differs under the same versions.

A folder may name an algorithm of somebody's own, "module:function". Its module is imported, which runs it,
only with --trust, and never from a file in the folder or in the sweep that the folder lies in.
"""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agents.limits import build_bounded_game
from agents.text_files import parse_json
from scripts.arguments import refusing_bad_input, run_command


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.redo."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs, such as runs/sweep/runs/one/ppo/1000000/0."""
    workers: int = 1
    """Runs at once."""
    trust: bool = False
    """Import and run the modules of "module:function" algorithms that the folders name."""


def main(arguments: Arguments) -> None:
    """Repeat the run of every folder, and print and record how it compares."""
    from agents.benchmark.run_folder import RunFolder, without_nan
    from agents.benchmark.store import compare_rows, redone_file, write_comparison
    from agents.benchmark.summaries import last_line
    from agents.benchmark.sweep_folder import read_folder
    from agents.benchmark.workers import LocalWorkers

    with refusing_bad_input():
        if not arguments.folders:
            raise ValueError("name the folders of the runs to repeat; got none")
        recorded = [(folder, *read_folder(folder)) for folder in arguments.folders]
        for folder, _, row in recorded:
            if row["status"] != "finished":
                raise ValueError(f"only finished runs can be compared; the one in {folder} failed")
        for folder, run, row in recorded:
            parse_json(row["versions_json"])
            build_bounded_game(run.game)
            _check_algorithm(run.algorithm, folder, arguments.trust)
        workers = LocalWorkers(arguments.workers)
        places = {id(run): redone_file(folder, row) for folder, run, row in recorded}
        rows = {id(run): row for _, run, row in recorded}
        with contextlib.ExitStack() as opened:
            for out in {place.out for place in places.values() if place}:
                opened.enter_context(RunFolder(out, "sweep", resume=True, writes=("redone/",)))
            sweeps = opened.pop_all()
    broken = False
    with sweeps, contextlib.closing(workers.results([run for _, run, _ in recorded])) as results:
        for run, result in results:
            place, row = places[id(run)], rows[id(run)]
            if result.row["status"] == "failed":
                print(f"{run.id}: failed this time: {last_line(result.row['traceback'])}")
                broken = True
                continue
            comparison = compare_rows(row, without_nan(result.row))
            print(f"{run.id}: {comparison}")
            broken = broken or bool(comparison.differing and not comparison.versions)
            if place is not None:
                write_comparison(place.file, row, comparison)
    if broken:
        sys.exit(1)


def _check_algorithm(name: str, folder: Path, trust: bool) -> None:
    """Refuse to import what a folder names without the user's word, or from a file that came with it."""
    from agents.benchmark.sweep_folder import sweep_of
    from agents.learning.algorithms import ALGORITHMS, paths_of_module

    if name in ALGORITHMS:
        return
    if not trust:
        raise ValueError(f"{folder} names code of its own, {name!r}; --trust imports and runs it")
    own = (sweep_of(folder) or folder).resolve()
    for path in paths_of_module(name):
        if path.is_relative_to(own):
            raise ValueError(f"code must not come from the folder of a run; {name!r} would, from {path}")


if __name__ == "__main__":
    run_command(main, Arguments)
