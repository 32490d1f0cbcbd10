"""What a sweep writes: a folder and a row of a Parquet data set for every run.

    <out>/config.json, environment.json, grid.toml   how the sweep was called
    <out>/runs/<run id>/                             config.json, environment.json, result.json, model.zip
    <out>/data/<run id>.parquet                      the run's row, alone in its file
    <out>/redone/<run id>.parquet                    written by scripts.redo

A folder appears whole or not at all, and so does a row. The folder is written first and holds the row as
well: a missing row is restored from it. Failed runs have both, too, with a traceback instead of a model.

A sweep starts in a new or empty folder. It deletes and overwrites only files that it wrote, each known by its
name, and follows no symbolic link.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agents.atomic_files import PARTIAL, write_atomically
from agents.benchmark.run import Result, Run
from agents.benchmark.run_folder import RunFolder, as_json, without_nan
from agents.benchmark.store import COLUMNS, SCHEMA, read_row, write_row
from agents.text_files import read_json, read_text

_DESCRIPTION = ("config.json", "environment.json", "grid.toml")
_FILES = ("config.json", "environment.json", "model.zip", "result.json", "traceback.txt")  # of a run's folder


class SweepFolder(contextlib.AbstractContextManager["SweepFolder"]):
    """A sweep's folder, which one process at a time may write to; a context manager."""

    def __init__(self, out: Path, resume: bool) -> None:
        """Open the folder of a new sweep, or of one to resume.

        Raises:
            ValueError: If it is not writable, another process is using it, or it does not hold a sweep if
                `resume` is True, nothing if it is False.
        """
        _check_folder(out, resume)
        self.folder, self.out = RunFolder(out), out
        self._lock = _acquire_lock(out)
        try:
            _check_folder(out, resume)  # once more: another process may have started a sweep meanwhile
        except ValueError:
            os.close(self._lock)
            raise

    def __exit__(self, *error: object) -> None:
        """Release the lock."""
        os.close(self._lock)

    def describe(self, arguments: Any, grid: Path) -> None:
        """Record the sweep's arguments and its grid."""
        with self._writing():
            self.folder.record("sweep", arguments)
            self.folder.text("grid.toml", read_text(grid, "a grid"))

    def unfinished(self, runs: Iterable[Run]) -> list[Run]:
        """Those of the runs that have not finished yet; rows that are missing are restored.

        A folder or row that is damaged, or of a different run with the same id, raises ValueError.
        """
        left = []
        for run in runs:
            folder, path = self._locate(run)
            _clear_partial(folder, path)
            if not folder.exists():
                left.append(run)
                continue
            recorded, row = read_folder(folder)
            if recorded != run:
                difference = _describe_difference(dataclasses.asdict(recorded), dataclasses.asdict(run))
                raise ValueError(f"{folder} holds a different run: {difference}")
            if not (path.exists() and read_row(path, SCHEMA).to_pylist() == [row]):
                with self._writing():
                    write_row(path, row, SCHEMA)
            if row["status"] != "finished":
                left.append(run)
        return left

    def keep(self, run: Run, result: Result) -> None:
        """Write a run's folder and row, replacing an attempt that failed; ValueError if the disk is full."""
        folder, path = self._locate(run)
        partial, row = _partial(folder), without_nan(result.row)
        assert set(row) == set(COLUMNS)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in result.files.items()}
        files = result.files | {"result.json": as_json({"row": row, "sha256": digests})}
        try:
            with self._writing():
                partial.mkdir(parents=True, exist_ok=True)
                for name, content in files.items():
                    write_atomically(partial / name, content)
                if folder.exists():
                    _replace(folder, partial)
                partial.rename(folder)
                write_row(path, row, SCHEMA)
        finally:
            _clear_partial(folder, path)

    def _locate(self, run: Run) -> tuple[Path, Path]:
        """The run's folder and the file of its row, neither behind a link, which could lead elsewhere."""
        names = f"runs/{run.id}", f"data/{run.id}.parquet"
        _refuse_links(self.out, *names)
        return self.out / names[0], self.out / names[1]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = "runs that had finished are kept, and --resume continues from there"
            raise ValueError(f"{self.out} cannot be written to: {error.strerror}; {kept}") from error


def read_folder(folder: Path) -> tuple[Run, dict[str, Any]]:
    """The run that a run's folder records, and its row; raises ValueError if the folder is damaged."""
    if not folder.is_dir():
        raise ValueError(f"{folder} must be the folder of a run; there is no such folder")
    try:
        result = read_json(folder / "result.json", "the record of a run")
        row, digests = result["row"], result["sha256"]
        for name, digest in digests.items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name} has changed since it was written")
        run = Run(**read_json(folder / "config.json", "a run"))
        if set(row) != set(COLUMNS):
            raise ValueError("result.json has other columns than a row")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{Path(error.filename).name} cannot be read" if isinstance(error, OSError) else error
        raise ValueError(
            f"{folder} must be the complete folder of a run, and is damaged: {reason}; delete it, and "
            "`python -m scripts.sweep --resume` runs it again"
        ) from error
    return run, row


def sweep_of(folder: Path) -> Path | None:
    """The sweep that a run's folder lies in, as its layout tells; None if it was moved out of it."""
    parents = folder.resolve().parents
    return next((out for out in parents if (out / "runs").is_dir() and (out / "data").is_dir()), None)


def _check_folder(out: Path, resume: bool) -> None:
    """Refuse a folder that the sweep must not write to, before anything in it is touched."""
    _refuse_links(out, ".lock", *_DESCRIPTION, "runs", "data")
    # A sweep that is killed before it has written its config.json leaves these two, at most.
    early = (".lock", f".config.json.*{PARTIAL}")
    try:
        paths = out.iterdir() if out.exists() else ()
        others = sorted(path.name for path in paths if not any(map(path.match, early)))
    except OSError as error:
        raise ValueError(f"{out} must be a readable folder: {error.strerror}") from error
    try:
        exists = json.loads((out / "config.json").read_text(encoding="utf-8"))["command"] == "sweep"
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        exists = False
    if exists and not resume:
        raise ValueError(f"{out} already holds a sweep: add --resume to continue it, or name another --out")
    if resume and not exists:
        raise ValueError(f"--resume needs a sweep to continue; {out} does not hold one")
    if others and not exists:
        raise ValueError(f"a sweep must start in a new or empty folder; {out} holds {others[0]!r}")


def _refuse_links(out: Path, *names: str) -> None:
    """Refuse paths within a folder that are links, or lie behind one."""
    for name in names:
        for part in (Path(name), *Path(name).parents):
            if part.name and (out / part).is_symlink():
                raise ValueError(f"a sweep's folder must hold no symbolic links; {out / part} is one")


def _acquire_lock(out: Path) -> int:
    """The descriptor of the folder's lock, which is held until it is closed; a link is not followed."""
    try:
        lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise ValueError(f"{out / '.lock'} must be a writable file: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ValueError(f"another process is running the sweep in {out}") from None
    return lock


def _partial(folder: Path) -> Path:
    """Where a run's folder is while it is being written."""
    return folder.with_name(f".{folder.name}{PARTIAL}")


def _clear_partial(folder: Path, row: Path) -> None:
    """Remove what a killed process left half written of a run, and nothing else."""
    _remove_files(_partial(folder))
    for path in row.parent.glob(f".{row.name}.*{PARTIAL}"):
        path.unlink()


def _replace(folder: Path, by: Path) -> None:
    """Remove an earlier attempt's files; anything else in its folder moves to the new one."""
    written = {"result.json", *read_json(folder / "result.json", "the record of a run")["sha256"]}
    for path in folder.iterdir():
        if path.name not in written:
            path.rename(by / path.name)
    _remove_files(folder)


def _remove_files(folder: Path) -> None:
    """Remove the files of a run, finished or half written, and their folder if it is then empty."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name in _FILES or any(path.match(f".{name}.*{PARTIAL}") for name in _FILES):
            path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _describe_difference(before: Any, now: Any, name: str = "") -> str:
    """The first part of nested tables that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        part = next(key for key in before | now if before.get(key) != now.get(key))
        return _describe_difference(before.get(part), now.get(part), f"{name}.{part}" if name else part)
    return f"its {name} was {before} and is now {now}"
