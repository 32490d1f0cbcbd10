"""What a sweep leaves on disk: a folder and a row of a Parquet data set for every run.

    <out>/config.json, environment.json, grid.toml   the sweep as it was called
    <out>/runs/<run id>/                             config.json, environment.json, result.json, model.zip
    <out>/data/<run id>.parquet                      the run's row, alone in its file
    <out>/redone/<run id>.parquet                    what scripts/redo.py found

A folder appears whole or not at all, and so does a row. The folder comes first and holds the row as well: a
row that is missing is restored from it. Failed runs have both, too, with a traceback for a model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import math
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import agents
from agents.files import write_atomically
from scripts.run_folder import RunFolder
from scripts.sweeps.running import Result, Run, as_json

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("run_id", "game", "algorithm")),
        *((name, pa.int64()) for name in ("turns", "seed")),
        *((name, pa.string()) for name in ("status", "traceback", "game_json", "parameters_json")),
        *(
            (name, pa.float64())
            for name in ("seconds", *agents.METRICS, "oracle_retention", "oracle_nash_conv")
        ),
        ("weights", pa.string()),
        ("curve_turns", pa.list_(pa.int64())),
        *(
            (name, pa.list_(pa.float64()))
            for name in (
                "curve_seconds",
                "curve_nash_conv",
                "curve_relative_exploitability",
                "curve_retention",
                "episode_exploitability",
                "episode_excess",
            )
        ),
        *((name, pa.string()) for name in ("git_revision", "versions_json", "processor", "started")),
    ]
)
"""Columns of the data set."""

REDONE = pa.schema(
    [
        *((name, pa.string()) for name in ("run_id", "algorithm", "game")),
        *((name, pa.bool_()) for name in ("same_weights", "same_evaluation", "same_versions")),
    ]
)
"""Columns of what was redone."""

IRREPRODUCIBLE = ("seconds", "curve_seconds", "started", "processor")
"""Columns that are another whenever a run is run again."""

RESTORED = "delete it, and sweep.py --resume (or redo.py) writes it again"


class Sweep:
    """A sweep's folder, which one process at a time may write to; a context manager."""

    def __init__(self, out: Path, resume: bool) -> None:
        """Open the folder of a new sweep, or of one to go on with.

        Raises:
            ValueError: If it cannot be written to, is another process's, or holds a sweep that is not to be
                resumed, or none that is.
        """
        self.folder = RunFolder(out)
        self.out = out
        self._lock = (out / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            exists = (out / "config.json").exists() or (out / "runs").exists()
            if exists and not resume:
                raise ValueError(
                    f"{out} already holds a sweep: add --resume to go on with it, or name another --out"
                )
            if resume and not exists:
                raise ValueError(f"--resume needs a sweep to go on with; {out} holds none")
        except BlockingIOError:
            self._lock.close()
            raise ValueError(f"another process is at work on the sweep in {out}") from None
        except ValueError:
            self._lock.close()
            raise

    def __enter__(self) -> Sweep:
        """Clear away what a killed process has left half written."""
        for folder in ("runs", "data"):
            for path in sorted((self.out / folder).rglob(".*")):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let other processes at the folder."""
        self._lock.close()

    def describe(self, arguments: Any, grid: Path) -> None:
        """Write down how the sweep was called, and the grid that it is of."""
        with self._writing():
            self.folder.record("sweep", arguments)
            self.folder.text("grid.toml", grid.read_text())

    def unfinished(self, runs: Iterable[Run]) -> list[Run]:
        """Those of the runs that are still to be run, or to be run again; rows that are missing are restored.

        Raises:
            ValueError: If a run's folder or row is damaged, or tells of another run by the same name.
        """
        left = []
        for run in runs:
            folder = self.out / "runs" / run.id
            row = _recorded(run, folder) if folder.exists() else None
            if row is not None:
                self._restore(row)
            if row is None or row["status"] != "finished":
                left.append(run)
        return left

    def keep(self, run: Run, result: Result) -> None:
        """Write down a run, in place of an earlier attempt that failed.

        Raises:
            ValueError: If that cannot be done, as when the disk is full.
        """
        folder = self.out / "runs" / run.id
        temporary = folder.with_name(f".{folder.name}")
        row = plain(result.row)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in result.files.items()}
        files = result.files | {"result.json": as_json({"row": row, "sha256": digests})}
        try:
            with self._writing():
                temporary.mkdir(parents=True, exist_ok=True)
                for name, content in files.items():
                    write_atomically(temporary / name, content)
                if folder.exists():
                    shutil.rmtree(folder)
                temporary.rename(folder)
                write_row(self.out / "data" / f"{run.id}.parquet", row, SCHEMA)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _restore(self, row: dict[str, Any]) -> None:
        path = self.out / "data" / f"{row['run_id']}.parquet"
        if not (path.exists() and read_row(path, SCHEMA).equals(_table(row, SCHEMA))):
            with self._writing():
                write_row(path, row, SCHEMA)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValueError(
                f"{self.out} cannot be written to: {error.strerror}; what had finished before is kept, and "
                "--resume goes on from there"
            ) from error


def read_rows(out: Path, folder: str = "data", schema: pa.Schema = SCHEMA) -> pd.DataFrame:
    """Every row of a sweep's data set, in the order of game, algorithm, turns and seed.

    Raises:
        ValueError: If there is no sweep, or one of its files is damaged.
    """
    if not (out / "data").is_dir():
        raise ValueError(f"{out} must be the folder of a sweep that has finished a run; it is not")
    tables = [read_row(path, schema) for path in (out / folder).rglob("[!.]*.parquet")]
    rows: pd.DataFrame = pa.concat_tables([schema.empty_table(), *tables]).to_pandas()
    order = [name for name in ("game", "algorithm", "turns", "seed", "run_id") if name in rows]
    return rows.sort_values(order, ignore_index=True)


def read_row(path: Path, schema: pa.Schema) -> pa.Table:
    """One row.

    Raises:
        ValueError: If the file does not hold just that.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
    else:
        if table.schema.equals(schema) and len(table) == 1:
            return table
        reason = "it has other columns" if len(table) == 1 else f"it has {len(table)} rows"
    raise ValueError(f"{path} must be a Parquet file of one row, and is damaged: {reason}; {RESTORED}")


def write_row(path: Path, row: dict[str, Any], schema: pa.Schema) -> None:
    """Write a Parquet file of one row, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    pq.write_table(_table(row, schema), content)
    write_atomically(path, content.getvalue())


def read_folder(folder: Path) -> tuple[Run, dict[str, Any]]:
    """What was run, and its row, by a run's folder.

    Raises:
        ValueError: If it is damaged, or no run's folder.
    """
    try:
        result = json.loads((folder / "result.json").read_text())
        row, digests = result["row"], result["sha256"]
        for name, digest in digests.items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name} has changed since it was written")
        run = Run(**json.loads((folder / "config.json").read_text()))
        if set(row) != set(SCHEMA.names):
            raise ValueError("result.json has other columns than a row")
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"{Path(error.filename).name} cannot be read" if isinstance(error, OSError) else error
        raise ValueError(
            f"{folder} must be the whole folder of a run, and is damaged: {reason}; delete it, and sweep.py "
            "--resume runs it again"
        ) from error
    return run, row


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """The row in what JSON has: null for numbers that are none."""
    assert set(row) == set(SCHEMA.names)
    return {
        name: [_number(value) for value in entry] if isinstance(entry, list) else _number(entry)
        for name, entry in row.items()
    }


def _recorded(run: Run, folder: Path) -> dict[str, Any]:
    """The row of a run that has a folder already."""
    recorded, row = read_folder(folder)
    before, now = dataclasses.asdict(recorded), dataclasses.asdict(run)
    for name in before:
        if before[name] != now[name]:
            raise ValueError(f"{folder} holds another run: {_difference(name, before[name], now[name])}")
    return row


def _difference(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        part = next(key for key in before | now if before.get(key) != now.get(key))
        return _difference(f"{name}.{part}", before.get(part), now.get(part))
    return f"its {name} was {before} and is {now} now"


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(row: dict[str, Any], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([row], schema=schema)
