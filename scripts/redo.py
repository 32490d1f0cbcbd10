"""Run runs of a sweep again from their folders alone, and compare what comes of it with what is recorded.

Under the same versions a run should give the same weights bit for bit, or at least the same evaluation. What
was found goes to OUT/redone of the sweep that a folder lies in, from which scripts/report.py tells it. The
exit code is 1 if a run differs under the same versions.
"""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from agents.benchmark.run import Run
from agents.benchmark.store import IRREPRODUCIBLE, REDONE, SCHEMA, plain, read_folder, write_row
from agents.benchmark.workers import LocalWorkers
from scripts.arguments import refusing_bad_input, run_command

_CONDITIONS = ("git_revision", "versions_json")  # which may well be others


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/redo.py."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of finished runs, such as runs/sweep/runs/one/ppo/1000000/0."""
    workers: int = 1
    """Runs at once."""


@dataclass(frozen=True)
class Verdict:
    """How a run that was run again compares with what is recorded of it.

    Attributes:
        differing: Columns of the evaluation that are others.
        weights: Whether the weights are the same; None if there are none.
        versions: What was another version then, as "package then → now".
    """

    differing: list[str]
    weights: bool | None
    versions: list[str]

    def __str__(self) -> str:
        """One line."""
        if self.differing:
            said = f"differs in {', '.join(self.differing)}"
        elif self.weights is None:
            said = "same evaluation, no weights"
        else:
            said = "same weights, bit for bit" if self.weights else "same evaluation, other weights"
        return said + (f" ({'; '.join(self.versions)})" if self.versions else "")


def main(arguments: Arguments) -> None:
    """Run every folder's run again, and say and write down how it compares."""
    with refusing_bad_input():
        if not arguments.folders:
            raise ValueError("name the folders of the runs to be run again; got none")
        recorded = [_finished(folder) for folder in arguments.folders]
        workers = LocalWorkers(arguments.workers)
    places = {id(run_): place for place, (run_, _) in enumerate(recorded)}
    broken = False
    with contextlib.closing(workers.results([run_ for run_, _ in recorded])) as results:
        for run_, result in results:
            place = places[id(run_)]
            if result.row["status"] == "failed":
                print(f"{run_.id}: failed this time: {result.row['traceback'].strip().splitlines()[-1]}")
                broken = True
                continue
            verdict = compare(recorded[place][1], plain(result.row))
            print(f"{run_.id}: {verdict}")
            broken = broken or bool(verdict.differing and not verdict.versions)
            _write_down(arguments.folders[place], run_, verdict)
    if broken:
        sys.exit(1)


def compare(then: dict[str, Any], now: dict[str, Any]) -> Verdict:
    """Compare two rows of one run."""
    apart = (*IRREPRODUCIBLE, *_CONDITIONS, "weights")
    differing = [name for name in SCHEMA.names if name not in apart and then[name] != now[name]]
    before, after = (json.loads(row["versions_json"]) for row in (then, now))
    versions = [
        f"{package} {before.get(package)} → {after.get(package)}"
        for package in before | after
        if before.get(package) != after.get(package)
    ]
    if then["git_revision"] != now["git_revision"]:
        versions.append(f"revision {then['git_revision']} → {now['git_revision']}")
    same = then["weights"] == now["weights"]
    return Verdict(differing, same if then["weights"] or now["weights"] else None, versions)


def _finished(folder: Path) -> tuple[Run, dict[str, Any]]:
    recorded, row = read_folder(folder)
    if row["status"] != "finished":
        raise ValueError(f"only finished runs can be compared; the one in {folder} failed")
    return recorded, row


def _write_down(folder: Path, run_: Run, verdict: Verdict) -> None:
    """Add the verdict to the sweep that the folder lies in, if it has not been taken elsewhere."""
    for out in folder.resolve().parents:
        if out / "runs" / run_.id == folder.resolve():
            row = {
                "run_id": run_.id,
                "algorithm": run_.algorithm,
                "game": run_.label,
                "same_weights": bool(verdict.weights),
                "same_evaluation": not verdict.differing,
                "same_versions": not verdict.versions,
            }
            write_row(out / "redone" / f"{run_.id}.parquet", row, REDONE)


if __name__ == "__main__":
    run_command(main, Arguments)
