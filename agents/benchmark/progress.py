"""One line of progress: how many runs are done, failed and running, and how long the rest will take."""

from __future__ import annotations

import math

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents.benchmark.run import Result


class SweepProgress:
    """A line in the terminal while a sweep runs; a context manager."""

    def __init__(self, runs: int, slots: int, console: Console | None = None) -> None:
        """Show progress through `runs` runs, of which up to `slots` run at once."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        screen = console or Console(stderr=True)
        self._bar = Progress(*columns, console=screen, speed_estimate_period=math.inf)
        self._left, self._slots, self._failed = runs, slots, 0
        self._task = self._bar.add_task(self._status(), total=runs)

    def __enter__(self) -> SweepProgress:
        """Show the line."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the line as it is."""
        self._bar.stop()

    def advance(self, result: Result) -> None:
        """Count a run that has ended."""
        self._left -= 1
        self._failed += result.row["status"] == "failed"
        self._bar.update(self._task, advance=1, description=self._status(), refresh=True)

    def _status(self) -> str:
        failed = f", [red]{self._failed} failed[/red]" if self._failed else ""
        return f"{min(self._slots, self._left)} running{failed}"
