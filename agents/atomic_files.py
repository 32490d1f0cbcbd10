"""Files that are written whole or not at all, and never through a symbolic link."""

import errno
import os
import re
from pathlib import Path

PARTIAL = ".mesa-env-partial"
"""Ending of the names of files and folders that are still being written."""

_PARTIAL_FILE = re.compile(rf"\.(.+)\.\d+{re.escape(PARTIAL)}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds either the old content or all of the new.

    Raises:
        OSError: If it cannot be written, or the path is a symbolic link.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "symbolic links are not written to", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        temporary.unlink(missing_ok=True)  # of a killed process that had the same number
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
