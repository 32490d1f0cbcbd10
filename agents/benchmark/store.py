"""What a sweep leaves on disk: a folder and a row of a Parquet data set for every run.

    <out>/config.json, environment.json, grid.toml   the sweep as it was called
    <out>/runs/<run id>/                             config.json, environment.json, result.json, model.zip
    <out>/data/<run id>.parquet                      the run's row, alone in its file
    <out>/redone/<run id>.parquet                    what scripts/redo.py found

A folder appears whole or not at all, and so does a row. The folder comes first and holds the row as well: a
row that is missing is restored from it. Failed runs have both, too, with a traceback for a model.

A sweep starts in a new or empty folder. It deletes and overwrites only files that it wrote, each known by its
name, and follows no symbolic link.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import mesa_env
from agents.atomic_files import PARTIAL, write_atomically
from agents.benchmark.run import Result, Run, as_json
from agents.benchmark.run_folder import RunFolder

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("run_id", "game", "algorithm")),
        *((name, pa.int64()) for name in ("turns", "seed")),
        *((name, pa.string()) for name in ("status", "traceback", "game_json", "parameters_json")),
        *(
            (name, pa.float64())
            for name in ("seconds", *mesa_env.METRICS, "oracle_retention", "oracle_nash_conv")
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

FILES = ("config.json", "environment.json", "model.zip", "result.json", "traceback.txt")
"""Files of a run's folder."""

RESTORED = "delete it, and sweep.py --resume (or redo.py) writes it again"


class Sweep:
    """A sweep's folder, which one process at a time may write to; a context manager."""

    def __init__(self, out: Path, resume: bool) -> None:
        """Open the folder of a new sweep, or of one to go on with.

        Raises:
            ValueError: If it cannot be written to, is another process's, or holds a sweep that is not to be
                resumed, none that is, or something else.
        """
        _check_folder(out, resume)
        self.folder = RunFolder(out)
        self.out = out
        self._lock = _locked(out)
        try:
            _check_folder(out, resume)  # what another process may have begun meanwhile
        except ValueError:
            os.close(self._lock)
            raise

    def __enter__(self) -> Sweep:
        """Hold the folder until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let other processes at the folder."""
        os.close(self._lock)

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
            folder = self._folder_of(run)
            self._clear_partial(run)
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
        folder = self._folder_of(run)
        temporary = folder.with_name(f".{folder.name}{PARTIAL}")
        row = plain(result.row)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in result.files.items()}
        files = result.files | {"result.json": as_json({"row": row, "sha256": digests})}
        try:
            with self._writing():
                temporary.mkdir(parents=True, exist_ok=True)
                for name, content in files.items():
                    write_atomically(temporary / name, content)
                if folder.exists():
                    _replace(folder, temporary)
                temporary.rename(folder)
                write_row(self.out / "data" / f"{run.id}.parquet", row, SCHEMA)
        finally:
            self._clear_partial(run)

    def _folder_of(self, run: Run) -> Path:
        """Where a run is kept.

        Raises:
            ValueError: If a symbolic link on the way could lead out of the sweep's folder.
        """
        for path in (self.out / "runs" / run.id, self.out / "data" / f"{run.id}.parquet"):
            for part in (path, *path.parents[: len(path.relative_to(self.out).parts) - 1]):
                if part.is_symlink():
                    raise ValueError(f"a sweep's folder must hold no symbolic links; {part} is one")
        return self.out / "runs" / run.id

    def _clear_partial(self, run: Run) -> None:
        """Remove what a killed process has left half written of a run, and nothing else."""
        folder = self.out / "runs" / run.id
        _remove_files(folder.with_name(f".{folder.name}{PARTIAL}"))
        for path in (self.out / "data" / run.id).parent.glob(f".{folder.name}.parquet.*{PARTIAL}"):
            path.unlink()

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


def _check_folder(out: Path, resume: bool) -> None:
    """Refuse a folder in which the sweep must not write, before anything in it is touched."""
    for name in (".lock", "config.json", "environment.json", "grid.toml", "runs", "data"):
        if (out / name).is_symlink():
            raise ValueError(f"a sweep's folder must hold no symbolic links; {out / name} is one")
    try:
        others = [path.name for path in out.iterdir() if not _begun(path)] if out.exists() else []
    except OSError as error:
        raise ValueError(f"{out} must be a folder that can be read: {error.strerror}") from error
    exists = _is_sweep(out)
    if exists and not resume:
        raise ValueError(f"{out} already holds a sweep: add --resume to go on with it, or name another --out")
    if resume and not exists:
        raise ValueError(f"--resume needs a sweep to go on with; {out} holds none")
    if others and not exists:
        raise ValueError(f"a sweep must begin in a new or empty folder; {out} holds {sorted(others)[0]!r}")


def _begun(path: Path) -> bool:
    """Whether a file is what a sweep leaves that was killed before it had written its config.json."""
    return path.name == ".lock" or path.match(f".config.json.*{PARTIAL}")


def _is_sweep(out: Path) -> bool:
    """Whether a folder's config.json is that of a sweep."""
    try:
        config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and config.get("command") == "sweep"


def _locked(out: Path) -> int:
    """The descriptor of the folder's lock, which is held until it is closed; a link is not followed.

    Raises:
        ValueError: If another process holds it, or it cannot be opened.
    """
    try:
        lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise ValueError(f"{out / '.lock'} must be a file that can be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ValueError(f"another process is at work on the sweep in {out}") from None
    return lock


def _replace(folder: Path, by: Path) -> None:
    """Remove an earlier attempt's files; what else its folder holds moves to the new one."""
    written = {"result.json", *json.loads((folder / "result.json").read_text())["sha256"]}
    for path in folder.iterdir():
        if path.name not in written:
            path.rename(by / path.name)
    _remove_files(folder)


def _remove_files(folder: Path) -> None:
    """Remove the files of a run, finished or half written, and their folder if nothing else is in it."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name in FILES or any(path.match(f".{name}.*{PARTIAL}") for name in FILES):
            path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


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
