"""Commands killed at random moments: resuming ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from agents.benchmark.store import COLUMNS, IRREPRODUCIBLE, read_rows
from tests.scripts.test_kills import outcome

pytestmark = pytest.mark.slow

GRID = """
algorithms = ["ppo"]
seeds = 2
turns = 2048
[games.tiny]
train = 3
deploy = 5
[parameters.ppo]
games = 8
"""
TRAIN = ["--game.train=3", "--game.deploy=5", "--settings.turns=12000", "--settings.games=8"]
TRAIN += ["--settings.hidden=8", "--settings.epochs=1"]


def start(command, arguments, out):
    resume = ["--resume"] if (out / "config.json").exists() else []
    call = [sys.executable, "-m", f"scripts.{command}", *arguments, f"--out={out}", *resume]
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(call, text=True, start_new_session=True, **output)


def run_with_kills(command, arguments, out, moments):
    """Kill a command after so many seconds, for each moment, then let it end; returns what went wrong."""
    for moment in moments:
        process = start(command, arguments, out)
        try:
            process.wait(timeout=moment)
            break  # it ended before its moment
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    else:
        process = start(command, arguments, out)
    _, error = process.communicate()
    return error if process.returncode else ""


def sweep_result(out):
    """Rows, but for what differs whenever a run is repeated."""
    rows = read_rows(out)[[name for name in COLUMNS if name not in IRREPRODUCIBLE]]
    return rows.map(str).to_dict("records")


@pytest.mark.parametrize(
    ("command", "arguments", "result"),
    [("train", TRAIN, outcome), ("sweep", ["--workers=1", "--grid"], sweep_result)],
    ids=["train", "sweep"],
)
def test_killed_runs_end_as_others_do(tmp_path, times, record_faults, command, arguments, result):
    if command == "sweep":
        (tmp_path / "grid.toml").write_text(GRID)
        arguments = [*arguments, str(tmp_path / "grid.toml")]
    begun = time.monotonic()
    assert not run_with_kills(command, arguments, tmp_path / "whole", [])
    seconds = time.monotonic() - begun
    expected, failures, lost, kills = result(tmp_path / "whole"), [], [], 0
    for case in range(times):
        chance = random.Random(case)
        moments = [seconds * chance.uniform(0.3, 1) for _ in range(1 + case % 3)]
        kills += len(moments)
        error = run_with_kills(command, arguments, tmp_path / str(case), moments)
        if error and "is finished" not in error:  # a run may be killed when all is done
            failures.append((moments, error))
        elif result(tmp_path / str(case)) != expected:
            lost.append((moments, "another result"))
    record_faults(f"kill −9 at random moments of {command}, then --resume", kills, failures, lost)
