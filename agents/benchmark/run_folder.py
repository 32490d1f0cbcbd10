"""Run folders: where commands write results, one command at a time, each file whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import BaseFileLock, FileLock, Timeout

from agents.atomic_files import (
    RECORD,
    check_place,
    check_places,
    read_record,
    record_growing,
    refuse_links,
    remove,
    write_atomically,
    write_record,
    written_in_part,
)
from agents.text_files import read_json
from mesa_env.rules.parameters import describe_game
from mesa_env.rules.rules import Rules

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

CONFIG, LOCK = "config.json", ".lock"

_PACKAGES = "mesa-env, gymnasium, numba, numpy, pettingzoo, sb3-contrib, scipy, stable-baselines3, torch"


class RunFolder(contextlib.AbstractContextManager["RunFolder"]):
    """The folder of one run, which one process at a time may write to; a context manager.

    Its config.json is written first, and names the command that the folder belongs to. A command starts in a
    new or empty folder, or returns to one of its own. There it replaces only files that are still as it wrote
    them (`agents.atomic_files`); whatever else the user has put there is kept. No symbolic link is followed.
    """

    def __init__(
        self,
        path: Path,
        command: str,
        resume: bool | None = None,
        writes: Sequence[str] = (),
        unused: Sequence[str] = (),
    ) -> None:
        """Open the folder for a command, creating it if it does not exist, and lock it until it is closed.

        Whether the command is to `resume` a run is None for commands that replace what they find. It `writes`
        files of these names or patterns, and in folders whose names end in a slash, beside those of `record`.
        What the command left in earlier releases and has no use for may be a link.

        Raises:
            ValueError: If another process is using it, it is not writable, it holds symbolic links or
                anything but a run of the same command, that run is not what `resume` asks for, or what the
                command writes is there and is not its own.
        """
        self.path, self.command = path, command
        self._new = [place for place in (path / LOCK, path, *path.parents) if not os.path.lexists(place)]
        self._lock = FileLock(path / LOCK, blocking=False)
        try:
            _acquire_lock(self._lock, path)
            self.begun = _check_content(path, command, unused)
            """Whether the folder holds a run of the command, begun earlier."""
            if self.begun and resume is False:
                raise ValueError(
                    f"{path} already holds a run of {command}: add --resume to continue it, or name another "
                    "--out"
                )
            if resume and not self.begun:
                raise ValueError(f"--resume needs a run of {command} to continue; {path} holds none")
            if self.begun and not read_record(path):
                raise ValueError(
                    f"{path / RECORD}, the record of what was written there, is missing or damaged: move the "
                    "folder away, or name another"
                )
            check_places(path, (CONFIG, "environment.json", "game.json", *writes))
        except BaseException:
            self.close()
            raise

    @classmethod
    def within(cls, parent: Path, name: str, command: str, writes: Sequence[str], new: bool = False) -> Self:
        """Open a folder, behind no symbolic link, within one of the user's; this must exist unless `new`."""
        if not (new or os.path.isdir(parent)):
            raise ValueError(f"--docs must name a folder; there is no folder {parent}")
        check_place(parent, f"{name}/")
        return cls(parent / name, command, writes=writes)

    def __exit__(self, *error: object) -> None:
        """Close the folder."""
        self.close()

    def close(self) -> None:
        """Release the lock, and remove what opening created, unless the folder was claimed or holds files."""
        for place in self._new:
            with contextlib.suppress(OSError):  # it is not empty
                if place.is_dir():
                    place.rmdir()
                elif self._lock.is_locked:
                    place.unlink()
        self._lock.release()

    def claim(self, arguments: Any = None) -> None:
        """Write config.json, which makes the folder the command's: its name and its arguments, if given."""
        given = {} if arguments is None else dataclasses.asdict(arguments)
        if read_record(self.path) is None:
            write_record(self.path, {})
        self.json(CONFIG, {"command": self.command, **given})
        self._new = []

    def record(self, arguments: Any, game: Rules | None = None, keep: bool = False) -> None:
        """Record what was run, where, and in which game: config.json, environment.json, game.json.

        With `keep`, those that exist are left as they are, as a run that is resumed was begun under them.
        """
        if not (keep and self.begun):
            self.claim(arguments)
        if not (keep and (self.path / "environment.json").exists()):
            self.json("environment.json", environment())
        if game is not None and not (keep and (self.path / "game.json").exists()):
            self.json("game.json", describe_game(game))

    def file(self, name: str, content: bytes) -> None:
        """Write a file of bytes."""
        write_atomically(self.path / name, content, self.path)

    def growing(self, name: str) -> Path:
        """The path of a file that others write and that grows, recorded as the command's."""
        record_growing(self.path, [name])
        return self.path / name

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        remove(self.path / name, self.path)

    def json(self, name: str, content: Any) -> None:
        """Write a JSON file, with null for numbers that are not finite."""
        self.file(name, as_json(without_nan(content)))

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Write a CSV file; numbers in full precision."""
        self.file(name, table.to_csv(index=False).encode(errors="replace"))

    def text(self, name: str, text: str) -> None:
        """Write a text file."""
        self.file(name, text.encode(errors="replace"))

    def figure(self, name: str, figure: Figure, dpi: int = 150, versioned: bool = True) -> None:
        """Write a PNG file, with Matplotlib's version in it unless it is not to be `versioned`."""
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=dpi, metadata=None if versioned else {"Software": None})
        self.file(name, picture.getvalue())


def _acquire_lock(lock: BaseFileLock, path: Path) -> None:
    """Lock a folder, which is created if it does not exist; raises ValueError if that is impossible."""
    file = path / LOCK
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
        refuse_links(path, LOCK)
        if file.exists() and not (file.is_file() and file.stat().st_size == 0):
            raise ValueError(
                f"{file} must be an empty file, as commands leave it to lock the folder; it is not"
            )
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{path} is in use by another process: wait for it, or name another folder"
        ) from None
    except OSError as error:
        raise ValueError(f"the run folder must be writable; {path} is not: {error.strerror}") from error


def _check_content(path: Path, command: str, unused: Sequence[str]) -> bool:
    """Whether a folder holds a run of the command; refuses all but that or nothing, touching none of it.

    Files that a killed process left half written are removed.
    """
    owner = _read_owner(path)
    entries = sorted(path.iterdir())
    for entry in entries:
        if owner == command and entry.name in unused:
            continue
        refuse_links(path, entry.name)
        if not (entry.is_file() or entry.is_dir()):
            raise ValueError(f"a run folder must hold files and folders alone; {entry} is neither")
        if owner is None and not _is_early(entry):
            raise ValueError(
                f"a run must start in a new or empty folder, or one of its own; {path} holds {entry.name!r}"
            )
    if owner not in (None, command):
        raise ValueError(f"{path} holds a run of {owner}, not of {command}: name another folder")
    for entry in entries:
        if written_in_part(entry.name) and entry.is_file():
            entry.unlink()
    return owner is not None


def _is_early(path: Path) -> bool:
    """Whether a file may be in a folder whose config.json a killed process had yet to write."""
    record, part_of = path.parent / RECORD, written_in_part(path.name)
    if path.name == LOCK:
        return True
    if not path.is_file() or (path.name != RECORD and part_of not in (CONFIG, RECORD)):
        return False
    if part_of == RECORD and not os.path.lexists(record):  # the first that is written, and empty
        return b"{}\n".startswith(path.read_bytes())
    if not record.is_file():
        return False
    with contextlib.suppress(ValueError):
        names = read_json(record, "a record")
        return names.keys() <= {CONFIG} and names == read_record(path.parent)
    return False


def _read_owner(path: Path) -> str | None:
    """The command that a folder's config.json names; None if there is none."""
    if (path / CONFIG).is_symlink() or not (path / CONFIG).is_file():
        return None
    with contextlib.suppress(ValueError):
        command = read_json(path / CONFIG, "the record of a run").get("command")
        return command if isinstance(command, str) else None
    return None


def check_arguments(arguments: Any, free: Sequence[str] = ("out", "resume")) -> None:
    """Raise ValueError unless the run in `arguments.out` has the same arguments, apart from those `free`."""
    path = arguments.out / "config.json"
    try:
        recorded = read_json(path, "arguments")
    except ValueError as error:
        raise ValueError(f"{path} must hold the arguments of the run beside it; it does not") from error
    given: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(arguments), default=str))
    for name, value in given.items():
        if name not in free and value != recorded.get(name):
            raise ValueError(
                f"the run in {arguments.out} was started with other arguments: {name} was "
                f"{recorded.get(name)} and is now {value}"
            )


def as_json(content: Any) -> bytes:
    """The content of a JSON file, indented for people to read."""
    return (json.dumps(content, indent=2, default=str) + "\n").encode()


def without_nan(content: Any) -> Any:
    """The same content with None for numbers that are not finite, which JSON does not have."""
    if isinstance(content, dict):
        return {name: without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def environment() -> dict[str, Any]:
    """The code's revision, the machine, and the versions of the packages that results depend on."""
    return {
        "git_revision": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "versions": {package: _version(package) for package in _PACKAGES.split(", ")},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # the project itself, on a cluster that was sent its code
        return "not installed"


def _git(*arguments: str) -> str | None:
    command, here = ["git", "--no-optional-locks", *arguments], Path(__file__).parent
    try:
        return (
            subprocess.run(command, cwd=here, capture_output=True, check=True)
            .stdout.decode(errors="replace")
            .strip()
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
