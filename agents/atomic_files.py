"""Files that are written whole or not at all."""

import os
from pathlib import Path

PARTIAL = ".partial"
"""Ending of the names of files and folders that are still being written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds either the old content or all of the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
