"""What a sweep writes: a folder and a row of a Parquet data set for every run.

    <out>/config.json, environment.json, grid.toml   how the sweep was called
    <out>/runs/<run id>/                             config.json, environment.json, result.json, model.zip
    <out>/data/<run id>.parquet                      the run's row, alone in its file
    <out>/redone/<run id>.parquet                    written by scripts.redo

A folder appears whole or not at all, and so does a row. The folder is written first and holds the row as
well: a missing or damaged row is restored from it. Failed runs have both, too, with a traceback instead of a
model.

A sweep deletes and overwrites only files that it wrote, each known by its name, and follows no symbolic link.
"""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agents.atomic_files import PARTIAL, check_place, write_atomically
from agents.benchmark.run import Result, Run
from agents.benchmark.run_folder import RunFolder, as_json, without_nan
from agents.benchmark.store import COLUMNS, SCHEMA, check_row_place, read_row, write_row
from agents.differences import describe_difference
from agents.text_files import read_json, read_text
from mesa_env.validation import show

_FILES = ("config.json", "environment.json", "model.zip", "result.json", "traceback.txt")  # of a run's folder
_ROW = "row"  # what the digest of a row is called, beside those of files


class SweepFolder(contextlib.AbstractContextManager["SweepFolder"]):
    """A sweep's folder, which one process at a time may write to; a context manager."""

    def __init__(self, out: Path, resume: bool) -> None:
        """Open the folder of a new sweep, or of one to resume.

        Raises:
            ValueError: If it is not writable, another process is using it, or it does not hold a sweep if
                `resume` is True, nothing if it is False.
        """
        self.folder, self.out = RunFolder(out, "sweep", resume, ("grid.toml", "runs/", "data/")), out

    def __exit__(self, *error: object) -> None:
        """Release the lock."""
        self.folder.close()

    def describe(self, arguments: Any, grid: Path) -> None:
        """Record the sweep's arguments and its grid."""
        with self._explain_errors():
            self.folder.record(arguments)
            self.folder.text("grid.toml", read_text(grid, "a grid"))

    def find_unfinished(self, runs: Iterable[Run]) -> list[Run]:
        """Those of the runs that have not finished yet; rows that are missing or damaged are restored.

        A folder that is damaged, or of a different run with the same id, raises ValueError.
        """
        left = []
        for run in runs:
            folder, path = self._locate(run)
            _clear_partial(folder, path)
            check_row_place(path, SCHEMA)
            if not folder.exists():
                left.append(run)
                continue
            recorded, row = read_folder(folder)
            if recorded != run:
                difference = describe_difference(dataclasses.asdict(recorded), dataclasses.asdict(run))
                raise ValueError(f"{folder} holds a different run: {difference}")
            if not _holds(path, row):
                with self._explain_errors():
                    write_row(path, row, SCHEMA)
            if row["status"] != "finished":
                _check_replaceable(folder)
                left.append(run)
        return left

    def keep(self, run: Run, result: Result) -> None:
        """Write a run's folder and row, replacing an attempt that failed; ValueError if the disk is full."""
        folder, path = self._locate(run)
        partial, row = _partial(folder), without_nan(result.row)
        assert set(row) == set(COLUMNS)
        digests = {name: _digest(content) for name, content in (result.files | {_ROW: as_json(row)}).items()}
        files = result.files | {"result.json": as_json({"row": row, "sha256": digests})}
        try:
            with self._explain_errors():
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
        check_place(self.out, f"{names[0]}/")
        check_place(self.out, names[1])
        return self.out / names[0], self.out / names[1]

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = "runs that had finished are kept, and --resume continues from there"
            place = error.filename or self.out
            raise ValueError(f"{place} cannot be written to: {error.strerror}; {kept}") from error


def _holds(path: Path, row: dict[str, Any]) -> bool:
    """Whether a file holds a row, undamaged."""
    try:
        return path.exists() and read_row(path, SCHEMA).to_pylist() == [row]
    except ValueError:
        return False


def read_folder(folder: Path) -> tuple[Run, dict[str, Any]]:
    """The run that a run's folder records, and its row; raises ValueError if the folder is damaged."""
    if not folder.is_dir():
        raise ValueError(f"{folder} must be the folder of a run; there is no such folder")
    try:
        for path in map(folder.joinpath, _FILES):
            if path.is_symlink() or (path.exists() and not path.is_file()):
                raise ValueError(f"{path.name} must be a file")
        result = read_json(folder / "result.json", "the record of a run")
        row, digests = result["row"], result["sha256"]
        if unknown := set(digests) - {*_FILES, _ROW}:
            raise ValueError(f"result.json names {show(min(unknown))}, which is no file of a run")
        for name, digest in digests.items():
            if _digest(as_json(row) if name == _ROW else (folder / name).read_bytes()) != digest:
                raise ValueError(f"{name} has changed since it was written")
        run = Run(**read_json(folder / "config.json", "a run"))
        if set(row) != set(COLUMNS):
            raise ValueError("result.json has other columns than a row")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{Path(error.filename).name} cannot be read" if isinstance(error, OSError) else error
        raise ValueError(
            f"{folder} must be the complete folder of a run, and is damaged: {reason}; once a run is "
            "moved out of its sweep, `python -m scripts.sweep --resume` runs it again"
        ) from error
    return run, row


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sweep_of(folder: Path) -> Path | None:
    """The sweep that a run's folder lies in, as its layout tells; None if it was moved out of it."""
    parents = folder.resolve().parents
    return next((out for out in parents if (out / "runs").is_dir() and (out / "data").is_dir()), None)


def _partial(folder: Path) -> Path:
    """Where a run's folder is while it is being written."""
    return folder.with_name(f".{folder.name}{PARTIAL}")


def _clear_partial(folder: Path, row: Path) -> None:
    """Remove what a killed process left half written of a run, and nothing else."""
    _remove_files(_partial(folder))
    for path in row.parent.glob(f".{row.name}.*{PARTIAL}"):
        path.unlink()


def _foreign_files(folder: Path) -> list[Path]:
    """What a run's folder holds beside the files of the run."""
    written = {"result.json", *read_json(folder / "result.json", "the record of a run")["sha256"]}
    return [path for path in folder.iterdir() if path.name not in written]


def _check_replaceable(folder: Path) -> None:
    """Refuse to repeat a run whose folder holds a file of the user's where the new attempt writes its own."""
    for path in _foreign_files(folder):
        if path.name in _FILES:
            raise ValueError(f"{path} is not of the attempt that failed, and would be replaced: move it away")


def _replace(folder: Path, by: Path) -> None:
    """Remove an earlier attempt's files; anything else in its folder moves to the new one."""
    _check_replaceable(folder)
    for path in _foreign_files(folder):
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
