"""The line of progress."""

from io import StringIO

from rich.console import Console

from agents.benchmark.progress import SweepProgress
from agents.benchmark.run import execute
from tests.agents.benchmark.test_run import tiny_run


def test_progress_is_one_line():
    screen = StringIO()
    runs = [tiny_run("raising")] + [tiny_run(seed=seed) for seed in range(3)]
    console = Console(file=screen, width=100)
    with SweepProgress(len(runs), 2, console) as progress:
        for run in runs:
            progress.count(execute(run))
    assert screen.getvalue().strip().splitlines()[-1].startswith("0 running, 1 failed")
    assert "4/4" in screen.getvalue()
