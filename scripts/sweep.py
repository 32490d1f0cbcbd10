"""Run a declared grid: games × algorithms × seeds × turns, on this machine's processes or on a Ray cluster.

A run trains one algorithm in one game from one seed and measures it against the oracle. Every run that ends
leaves a folder in OUT/runs and a row in the Parquet data set OUT/data, of which scripts/report.py makes a
report. A run that fails is recorded with its traceback, and the others go on. Ctrl-C stops a sweep; --resume
goes on with it, skips what is finished and tries again what has failed. The exit code is 1 if a run failed.

With --ray ADDRESS the same runs are tasks of one CPU on a Ray cluster ("auto", "host:port" or
"ray://host:port"), with the same results bit for bit where processors and versions are the same. Its nodes
need the project's dependencies (pip install ".[cluster]"); the code itself is sent to them, as are the
modules of your own algorithms, and results come back without a common file system. Runs of a node that is
lost are run again on another.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import agents.benchmark
from agents.benchmark import tables
from agents.benchmark.grid import LIMIT, read_grid
from agents.benchmark.progress import SweepProgress
from agents.benchmark.run import Run
from agents.benchmark.store import Sweep, read_rows
from agents.benchmark.workers import LocalWorkers, RayWorkers, Workers
from scripts.arguments import refusing_bad_input, run_command


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/sweep.py."""

    grid: Path = Path(agents.benchmark.__file__).parent / "benchmark.toml"
    """The declared grid, a TOML file (agents/benchmark/grid.py says how); by default the committed one."""
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
    """Runs at once, on this machine."""
    ray: str | None = None
    """Address of a Ray cluster to run on instead."""
    resume: bool = False
    """Go on with the folder's sweep."""
    yes: bool = False
    """Start more than 200 runs without being asked."""


def main(arguments: Arguments) -> None:
    """Run what the grid declares and the folder does not hold yet, then print what came of all of it."""
    with refusing_bad_input():
        grid = read_grid(arguments.grid)
        grid = grid.narrowed(arguments.games, arguments.algorithms, arguments.seeds, arguments.turns)
        runs = grid.runs()
        sweep = Sweep(arguments.out, arguments.resume)
    with sweep:
        with refusing_bad_input():
            left = sweep.unfinished(runs)
            if len(left) > LIMIT and not arguments.yes:
                raise ValueError(f"more than {LIMIT} runs need --yes; the grid has {len(left)} left to run")
            workers: Workers
            if arguments.ray is None:
                workers = LocalWorkers(arguments.workers)
            else:
                workers = RayWorkers(arguments.ray, {run.algorithm for run in left})
            sweep.describe(arguments, arguments.grid)
        try:
            carry_out(left, workers, sweep)
        except KeyboardInterrupt:
            kept = len(runs) - len(sweep.unfinished(runs))
            print(f"{kept} of {len(runs)} runs are kept; --resume runs the others", file=sys.stderr)
            raise
    with refusing_bad_input():
        rows = read_rows(arguments.out)
    rows = rows[rows["run_id"].isin([run.id for run in runs])]
    tables.show(summary(rows), f"{len(rows)} runs")
    print(f"sweep: {arguments.out}")
    failed = rows[rows["status"] == "failed"]
    if len(failed):
        first = failed.iloc[0]
        reason = first["traceback"].strip().rpartition("\n")[2]
        print(f"{len(failed)} runs failed; {first['run_id']}: {reason}", file=sys.stderr)
        sys.exit(1)


def carry_out(runs: Sequence[Run], workers: Workers, sweep: Sweep) -> None:
    """Have runs run, and write each one down as it ends."""
    with contextlib.closing(workers.results(runs)) as results, SweepProgress(runs, workers.slots) as progress:
        for run_, result in results:
            with refusing_bad_input():
                sweep.keep(run_, result)
            progress.finished(run_, result)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a game, algorithm and number of turns: how many runs, how many failed, medians of the others."""
    by = ["game", "algorithm", "turns"]
    groups = rows.assign(failed=rows["status"] == "failed").groupby(by, as_index=False)
    return groups.agg(
        runs=("run_id", "size"),
        failed=("failed", "sum"),
        nash_conv=("nash_conv", "median"),
        seconds=("seconds", "median"),
    )


if __name__ == "__main__":
    run_command(main, Arguments)
