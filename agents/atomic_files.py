"""Files that are written whole or not at all, never through a symbolic link, and never over a user's.

A run folder has a record of what this program wrote in it: a JSON object with the SHA-256 digests that each
file may have, and none for files that grow, such as logs. A file's digest is recorded before the file is
renamed, so that a killed process leaves none that is not recorded. Without a record, `check_places` takes
whatever is there for the user's, while `write_atomically` and `remove` do not ask.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PARTIAL = ".mesa-env-partial"
"""Ending of the names of files and folders that are still being written."""
RECORD = "written_files.json"
"""Name of the record in a run folder."""

_FOREIGN = "not as this program wrote it: move it away, or name another folder"
_PARTIAL_FILE = re.compile(rf"\.(.+)\.\d+{re.escape(PARTIAL)}")

Record = dict[str, list[str]]
"""Digests by the path of a file in its run folder."""


def write_atomically(path: Path, content: bytes, folder: Path | None = None) -> None:
    """Write a file so that a reader finds either the old content or all of the new.

    The record is that of `folder`, by default the one that the file lies in.

    Raises:
        OSError: If it cannot be written, the path is a symbolic link, or there is a record, and the file that
            would be replaced is not as recorded.
    """
    folder = path.parent if folder is None else folder
    record, name = read_record(folder), _name(path, folder)
    if record is not None:
        _refuse_foreign(path, record.get(name))
        if record.get(name) != []:
            digests = {hashlib.sha256(content).hexdigest(), *([_digest(path)] if path.exists() else [])}
            write_record(folder, record | {name: sorted(digests)})
    _replace(path, content)


def remove(path: Path, folder: Path | None = None) -> None:
    """Remove a file, if there is one; `folder`, and what it raises, are as in `write_atomically`."""
    folder = path.parent if folder is None else folder
    record = read_record(folder)
    if record is not None:
        _refuse_foreign(path, record.get(_name(path, folder)))
    path.unlink(missing_ok=True)


def read_record(folder: Path) -> Record | None:
    """The record of a folder: None if it has none, empty if it is damaged, so that nothing is replaced."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    whole = isinstance(record, dict) and all(isinstance(digests, list) for digests in record.values())
    return record if whole else {}


def write_record(folder: Path, record: Record) -> None:
    """Write the record of a folder."""
    _replace(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def record_growing(folder: Path, names: Iterable[str]) -> None:
    """Record files that others write and that grow, such as logs, if the folder has a record."""
    record = read_record(folder)
    if record is not None:
        write_record(folder, record | {name: [] for name in names})


def check_places(folder: Path, names: Iterable[str]) -> None:
    """Refuse to write in a folder where a name is of something else; names of folders end in a slash.

    Names may be patterns.

    Raises:
        ValueError: If `check_place` refuses what has such a name, or it is a file that is not as recorded.
    """
    record = read_record(folder) or {}
    for pattern in names:
        for path in folder.glob(pattern) if "*" in pattern else [folder / pattern]:
            name = _name(path, folder)
            check_place(folder, name + "/" * pattern.endswith("/"))
            if not pattern.endswith("/") and not _is_own(path, record.get(name)):
                raise ValueError(f"{os.path.normpath(path)} is {_FOREIGN}")


def check_place(folder: Path, name: str) -> None:
    """Refuse to write under a name in a folder, which is of a folder if it ends in a slash.

    Raises:
        ValueError: If it, or a folder that leads to it, is a symbolic link or anything else than what it must
            be: a regular file, or a folder.
    """
    refuse_links(folder, name)
    for part in (Path(name), *Path(name).parents):
        path, is_folder = folder / part, part != Path(name) or name.endswith("/")
        if os.path.lexists(path) and not (path.is_dir() if is_folder else path.is_file()):
            kind = "a folder" if is_folder else "a regular file"
            path = Path(os.path.normpath(path))
            raise ValueError(f"{path} must be {kind}, or not be there; it is something else")


def written_in_part(name: str) -> str | None:
    """The name of the file that a half-written file was to become; None if the name is not of one."""
    match = _PARTIAL_FILE.fullmatch(name)
    return match[1] if match else None


def refuse_links(folder: Path, *names: str) -> None:
    """Refuse paths within a folder that are symbolic links, or lie behind one: they could lead out of it."""
    for name in names:
        for part in (Path(name), *Path(name).parents):
            if part.name and (folder / part).is_symlink():
                raise ValueError(f"a run folder must hold no symbolic links; {folder / part} is one")


@contextlib.contextmanager
def name_in_errors(path: Path) -> Iterator[None]:
    """Let an error of the system that names no file name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step, whatever is recorded."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, "symbolic links are not written to", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        temporary.unlink(missing_ok=True)  # of a killed process that had the same number
        with name_in_errors(path), temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with name_in_errors(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _refuse_foreign(path: Path, digests: list[str] | None) -> None:
    if not _is_own(path, digests):
        raise FileExistsError(errno.EEXIST, f"it is {_FOREIGN}", str(path))


def _is_own(path: Path, digests: list[str] | None) -> bool:
    """Whether there is no file, or it has one of the digests recorded."""
    return not os.path.lexists(path) or digests == [] or _digest(path) in (digests or [])


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _name(path: Path, folder: Path) -> str:
    """A file's path in its run folder, as a record has it."""
    return Path(os.path.relpath(path, folder)).as_posix()
