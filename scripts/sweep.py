"""Run a declared grid: games × algorithms × seeds × turns, on this machine's processes or on a Ray cluster.

A run trains one algorithm in one game from one seed and measures it against the oracle. Every run that ends
leaves a folder in OUT/runs and a row in the Parquet data set OUT/data, which scripts/report.py turns into a
report. A run that fails is recorded with its traceback, and the others continue. Ctrl-C stops a sweep;
--resume continues it, skips what has finished and retries what has failed. The exit code is 1 if any run
failed.

An algorithm that the grid or --algorithms names as "module:function" is imported, which runs it: name only
grids and modules that you trust. Nothing is imported that OUT alone names.

With --ray ADDRESS the same runs are tasks of one CPU on a Ray cluster ("auto", "host:port" or
"ray://host:port"), with the same results bit for bit where processors and versions are the same. Its nodes
need the project's dependencies (pip install ".[cluster]"); the code itself is sent to them, as are the
modules of your own algorithms, and results come back without a shared file system. Runs of a node that is
lost are retried on another.
"""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.arguments import refusing_bad_input, run_command

_LIMIT = 200  # a sweep that would start more runs than this needs a confirmation


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.sweep."""

    grid: Path = Path(__file__).parents[1] / "agents" / "benchmark" / "benchmark.toml"
    """The declared grid, a TOML file (agents/benchmark/grid.py says how) of at most 100 000 runs; by default
    the committed one."""
    games: tuple[str, ...] | None = None
    """Only these of the grid's games, or others by name with their defaults."""
    algorithms: tuple[str, ...] | None = None
    """These in place of the grid's algorithms; "module:function" is one of your own."""
    seeds: tuple[int, ...] | None = None
    """These in place of the grid's seeds."""
    turns: tuple[int, ...] | None = None
    """These in place of the grid's turns."""
    out: Path = Path("runs/sweep")
    """The sweep's folder."""
    workers: int = os.cpu_count() or 1
    """Runs at once, on this machine; at most 1024."""
    ray: str | None = None
    """Address of a Ray cluster to run on instead."""
    resume: bool = False
    """Continue the folder's sweep."""
    yes: bool = False
    """Start more than 200 runs without confirmation."""


def main(arguments: Arguments) -> None:
    """Run what the grid declares and the folder does not hold yet, then print a summary of all its runs."""
    from agents.benchmark import store, tables
    from agents.benchmark.grid import read_grid
    from agents.benchmark.progress import SweepProgress
    from agents.benchmark.summaries import last_line
    from agents.benchmark.sweep_folder import SweepFolder
    from agents.benchmark.workers import LocalWorkers, RayWorkers, Workers

    with refusing_bad_input():
        grid = read_grid(arguments.grid)
        grid = grid.narrow(arguments.games, arguments.algorithms, arguments.seeds, arguments.turns)
        runs = grid.runs()
        folder = SweepFolder(arguments.out, arguments.resume)
    with folder:
        with refusing_bad_input():
            left = folder.find_unfinished(runs)
            if len(left) > _LIMIT and not arguments.yes:
                raise ValueError(f"more than {_LIMIT} runs need --yes; the grid has {len(left)} left to run")
            workers: Workers = (
                LocalWorkers(arguments.workers)
                if arguments.ray is None
                else RayWorkers(arguments.ray, {run.algorithm for run in left})
            )
            folder.describe(arguments, arguments.grid)
        progress = SweepProgress(len(left), workers.slots)
        try:
            with contextlib.closing(workers.results(left)) as results, progress:
                for run, result in results:
                    with refusing_bad_input():
                        folder.keep(run, result)
                    progress.count(result)
        except KeyboardInterrupt:
            kept = len(runs) - len(folder.find_unfinished(runs))
            print(f"{kept} of {len(runs)} runs are kept; --resume runs the others", file=sys.stderr)
            raise
    with refusing_bad_input():
        rows = store.read_rows(arguments.out)
    rows = rows[rows["run_id"].isin([run.id for run in runs])]
    tables.show(store.summarize_rows(rows), f"{len(rows)} runs")
    print(f"sweep: {arguments.out}")
    failed = rows[rows["status"] == "failed"]
    if len(failed):
        first = failed.iloc[0]
        print(
            f"{len(failed)} runs failed; {first['run_id']}: {last_line(first['traceback'])}", file=sys.stderr
        )
        sys.exit(1)


if __name__ == "__main__":
    run_command(main, Arguments)
