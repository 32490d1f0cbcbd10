"""Run folders: where commands write results, each file whole or not at all."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import platform
import subprocess
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.atomic_files import write_atomically
from agents.text_files import read_json
from mesa_env.rules.parameters import describe_game
from mesa_env.rules.scalar import ScalarGame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_PACKAGES = "mesa-env, gymnasium, numba, numpy, pettingzoo, sb3-contrib, scipy, stable-baselines3, torch"


class RunFolder:
    """The folder of one run: its configuration, its origin, tables, figures and models."""

    def __init__(self, path: Path) -> None:
        """Open the folder, creating it if it does not exist.

        Raises:
            ValueError: If it is not writable.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        except OSError as error:
            raise ValueError(f"the run folder must be writable; {path} is not: {error.strerror}") from error

    def record(self, command: str, config: Any, game: ScalarGame | None = None) -> None:
        """Record what was run, where, and in which game: config.json, environment.json, game.json."""
        self.json("config.json", {"command": command, **dataclasses.asdict(config)})
        self.json("environment.json", environment())
        if game is not None:
            self.json("game.json", describe_game(game))

    def json(self, name: str, content: Any) -> None:
        """Write a JSON file, with null for numbers that are not finite."""
        write_atomically(self.path / name, as_json(without_nan(content)))

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Write a CSV file; numbers in full precision."""
        write_atomically(self.path / name, table.to_csv(index=False).encode(errors="replace"))

    def text(self, name: str, text: str) -> None:
        """Write a text file."""
        write_atomically(self.path / name, text.encode(errors="replace"))

    def figure(self, name: str, figure: Figure, dpi: int = 150, versioned: bool = True) -> None:
        """Write a PNG file, with Matplotlib's version in it unless it is not to be `versioned`."""
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=dpi, metadata=None if versioned else {"Software": None})
        write_atomically(self.path / name, picture.getvalue())


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
