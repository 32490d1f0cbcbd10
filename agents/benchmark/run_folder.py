"""Run folders: where results go, each file written whole or not at all."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from agents.atomic_files import write_atomically
from mesa_env import Game

_PACKAGES = (
    "mesa-env",
    "gymnasium",
    "numba",
    "numpy",
    "pettingzoo",
    "sb3-contrib",
    "scipy",
    "stable-baselines3",
    "torch",
)


class RunFolder:
    """A folder that holds one run: its configuration, where it came from, tables, figures and models."""

    def __init__(self, path: Path) -> None:
        """Open the folder, making it if need be.

        Raises:
            ValueError: If it cannot be written to.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path).close()
        except OSError as error:
            raise ValueError(f"the run folder must be writable; {path} is not: {error.strerror}") from error

    def record(self, command: str, config: Any, game: Game | None = None) -> None:
        """Write down what was run, on what, in which game: `config.json`, `environment.json`, `game.json`."""
        self.json("config.json", {"command": command, **dataclasses.asdict(config)})
        self.json("environment.json", environment())
        if game is not None:
            parameters = dataclasses.asdict(game) | {"learning_rates": game.learning_rates.tolist()}
            self.json("game.json", {"rules": type(game).__name__, **parameters})

    def json(self, name: str, content: Any) -> None:
        """Write a JSON file."""
        text = json.dumps(_without_nan(content), indent=2, default=str, allow_nan=False)
        write_atomically(self.path / name, (text + "\n").encode())

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Write a CSV file; numbers in full precision."""
        write_atomically(self.path / name, table.to_csv(index=False).encode())

    def text(self, name: str, text: str) -> None:
        """Write a text file."""
        write_atomically(self.path / name, text.encode())

    def figure(self, name: str, figure: Figure) -> None:
        """Write a PNG file."""
        write_atomically(self.path / name, png_bytes(figure))


def png_bytes(figure: Figure, dpi: int = 150, metadata: Mapping[str, str | None] | None = None) -> bytes:
    """The content of a PNG file; {"Software": None} as metadata leaves out Matplotlib's version."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=dpi, metadata=metadata)
    return picture.getvalue()


def environment() -> dict[str, Any]:
    """The code's revision, the machine, and the versions of what results depend on."""
    return {
        "git_revision": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "versions": {package: _version(package) for package in _PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # as of this project itself, where a cluster was sent its code
        return "not installed"


def _without_nan(content: Any) -> Any:
    """The same with null for numbers that JSON does not have."""
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _git(*arguments: str) -> str | None:
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
