"""Commands that can write no more: one sentence, no half-written file, and the next call completes.

A limit on the size of files stands for a full disk: what is written beyond it raises OSError.
"""

import itertools
import json
import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from matplotlib import image

pytestmark = pytest.mark.slow

GAME = ["--game.train=3", "--game.deploy=5"]
GRID = """
algorithms = ["ppo"]
seeds = [0]
turns = 256
[games.tiny]
train = 3
deploy = 5
[parameters.ppo]
games = 8
"""
COMMANDS = {
    "evaluate": [*GAME, "--games=2", "--agents", "equilibrium", "myopic"],
    "maps": ["--points=4", "--figures", "train-deploy"],
    "train": [*GAME, "--settings.turns=128", "--settings.games=8", "--settings.hidden=8"],
    "train_neural": [*GAME, "--settings.iterations=2"],
    "sweep": ["--workers=1", "--grid"],
}
LIMITS = 0, 20, 500, 2_000, 8_000, 30_000


def run(command, arguments, out, limit=None):
    """A command in a process of its own, whose files may not grow beyond a limit in bytes."""
    call = [sys.executable, "-B", "-m", f"scripts.{command}", *arguments, f"--out={out}"]

    def restrict():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        call, capture_output=True, text=True, preexec_fn=restrict if limit is not None else None
    )
    return done.returncode, done.stderr


READERS = {
    ".json": lambda path: json.loads(path.read_text()),
    ".csv": pd.read_csv,
    ".png": image.imread,
    ".zip": lambda path: zipfile.ZipFile(path).testzip(),
    ".parquet": pq.read_table,
}


def half_written(out):
    """Files that cannot be read, and files that are still called partial."""
    for path in Path(out).rglob("*"):
        if "partial" in path.name:
            yield path
        elif path.suffix in READERS:
            try:
                READERS[path.suffix](path)
            except Exception:
                yield path


def test_a_full_disk_costs_a_sentence_and_nothing_else(tmp_path, times, record_faults):
    (tmp_path / "grid.toml").write_text(GRID)
    cases = list(itertools.product(COMMANDS, LIMITS))
    cases = random.Random(0).sample(cases, min(len(cases), times))
    failures, lost = [], []
    for number, (command, limit) in enumerate(cases):
        out = tmp_path / str(number)
        arguments = [*COMMANDS[command], *([str(tmp_path / "grid.toml")] if command == "sweep" else [])]
        code, error = run(command, arguments, out, limit)
        told = [line for line in error.splitlines() if line.startswith("error: ")]
        named = len(told) == 1 and (str(out) in told[0] or "temporary directory" in told[0])
        clear = code == 0 or (code == 2 and named)
        if "Traceback" in error or not clear:
            failures.append((command, limit, code, error))
        lost += [(command, limit, path) for path in half_written(out)]
        began = (out / "config.json").exists() and not (out / "figure.png").exists()
        resume = ["--resume"] if command in ("train", "sweep") and began else []
        code, error = run(command, [*arguments, *resume], out)
        if code and "finished" not in error:
            failures.append((command, limit, "again", code, error))
        lost += [(command, limit, "again", path) for path in half_written(out)]
    record_faults("full disk, then the same command again", len(cases), failures, lost)
