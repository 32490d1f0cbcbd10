"""The line of progress, and its estimate of the time left."""

from io import StringIO

import pytest
from rich.console import Console

from agents.benchmark.progress import DurationEstimate, SweepProgress
from agents.benchmark.run import execute
from tests.agents.benchmark.test_run import tiny_run


def test_time_left_is_estimated_from_similar_runs():
    slow, fast = (tiny_run(name, turns=1000) for name in ("near_oracle", "network"))
    estimate = DurationEstimate()
    assert estimate.seconds([slow]) is None
    estimate.add(slow, 100.0)
    assert estimate.seconds([fast]) == 100.0  # no run like it has ended yet
    estimate.add(fast, 2.0)
    estimate.add(fast, 4.0)
    left = [tiny_run("network", seed=5, turns=2000), tiny_run("near_oracle", seed=5, turns=500)]
    assert estimate.seconds(left) == pytest.approx(6.0 + 50.0)


def test_progress_is_one_line():
    screen = StringIO()
    runs = [tiny_run("raising")] + [tiny_run(seed=seed) for seed in range(3)]
    console = Console(file=screen, width=100)
    with SweepProgress(runs, 2, console) as progress:
        for run in runs:
            progress.advance(run, execute(run))
    assert screen.getvalue().strip().splitlines()[-1].startswith("0 running, 1 failed")
    assert "4/4" in screen.getvalue()
